package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// unplugTimeout bounds how long a guest may take to let a device go.
const unplugTimeout = 20 * time.Second

// ErrNotPluggable is returned for hardware that a running guest cannot take, or does not let go.
var ErrNotPluggable = errors.New("the running guest does not take this change")

// AddDrive plugs a disk into the running guest; spec has the controllers that the guest was started with.
func (g *Guest) AddDrive(spec Spec, drive Drive) error {
	for _, controller := range spec.Controllers {
		if controller.Key == drive.Controller && (controller.Bus == IDE || controller.Bus == AHCI) {
			return fmt.Errorf("a disk on %s: %w", controller.Bus, ErrNotPluggable)
		}
	}
	device, err := spec.device(drive)
	if err != nil {
		return err
	}
	text, err := blockNode(drive)
	if err != nil {
		return err
	}
	var node map[string]any
	if err := json.Unmarshal([]byte(text), &node); err != nil {
		return err
	}
	if _, err := g.qmp.execute("blockdev-add", node); err != nil {
		return err
	}
	if err := g.human("device_add " + device + ",drive=" + nodeName(drive.Key)); err != nil {
		_, _ = g.qmp.execute("blockdev-del", map[string]any{"node-name": nodeName(drive.Key)})
		return err
	}
	return nil
}

// RemoveDrive unplugs a disk and lets go of its file.
func (g *Guest) RemoveDrive(key int32) error {
	if err := g.unplug(fmt.Sprintf("drive%d", key)); err != nil {
		return err
	}
	// The node is released a little after the device has gone.
	for deadline := time.Now().Add(unplugTimeout); ; time.Sleep(50 * time.Millisecond) {
		_, err := g.qmp.execute("blockdev-del", map[string]any{"node-name": nodeName(key)})
		if err == nil || errors.Is(err, ErrGone) || time.Now().After(deadline) {
			return err
		}
	}
}

// AddNIC plugs a network adapter into the running guest.
func (g *Guest) AddNIC(nic NIC) error {
	netdev, err := g.plug.Netdev(nic)
	if err != nil {
		return err
	}
	if err := g.human("netdev_add " + netdev); err != nil {
		return err
	}
	if err := g.human("device_add " + nic.device()); err != nil {
		_ = g.human(fmt.Sprintf("netdev_del net%d", nic.Key))
		return err
	}
	return g.plug.Connect(nic)
}

// RemoveNIC unplugs a network adapter, which takes an operating system that lets it go.
func (g *Guest) RemoveNIC(nic NIC) error {
	if err := g.unplug(fmt.Sprintf("nic%d", nic.Key)); err != nil {
		return err
	}
	return errors.Join(g.plug.Disconnect(nic), g.human(fmt.Sprintf("netdev_del net%d", nic.Key)))
}

// unplug removes a device, and returns when it is gone.
func (g *Guest) unplug(id string) error {
	if _, err := g.qmp.execute("device_del", map[string]any{"id": id}); err != nil {
		return err
	}
	for deadline := time.Now().Add(unplugTimeout); ; time.Sleep(50 * time.Millisecond) {
		there, err := g.has(id)
		if err != nil || !there {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is still in use after %s: %w", id, unplugTimeout, ErrNotPluggable)
		}
	}
}

func (g *Guest) has(id string) (bool, error) {
	reply, err := g.qmp.execute("qom-list", map[string]any{"path": "/machine/peripheral"})
	if err != nil {
		return false, err
	}
	var parts []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(reply, &parts); err != nil {
		return false, err
	}
	for _, part := range parts {
		if part.Name == id {
			return true, nil
		}
	}
	return false, nil
}

// human runs a command of QEMU's human monitor, which takes devices in the command line's form and answers errors in words.
func (g *Guest) human(line string) error {
	reply, err := g.qmp.execute("human-monitor-command", map[string]any{"command-line": line})
	if err != nil {
		return err
	}
	var said string
	if err := json.Unmarshal(reply, &said); err != nil {
		return err
	}
	if said = strings.TrimSpace(said); said != "" {
		return fmt.Errorf("QEMU refused %q: %s", line, said)
	}
	return nil
}
