package guest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// vsctlTimeout bounds how long ovs-vswitchd may take to see to a change, in seconds.
const vsctlTimeout = 30

// OpenVSwitch plugs adapters into bridges of an Open vSwitch, as access ports of their port group's VLAN. QEMU makes the
// tap device and takes it along when it ends.
type OpenVSwitch struct {
	// Database is the address of the switch's database: unix:/PATH.
	Database string
	// Bridges names the bridge that stands for each virtual switch; adapters of others stay unplugged.
	Bridges map[string]string
	// Folder tells this test vCenter's devices from those of others on the machine.
	Folder string
}

// Netdev implements Plug. Without vnet_hdr QEMU computes the checksums that the guest leaves to its adapter: the
// userspace datapath would not.
func (o OpenVSwitch) Netdev(nic NIC) (string, error) {
	if o.Bridges[nic.Switch] == "" {
		return Unplugged{}.Netdev(nic)
	}
	return fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no,vnet_hdr=off", nic.Key, o.device(nic.Guest, nic.Key)), nil
}

// Connect implements Plug.
func (o OpenVSwitch) Connect(nic NIC) error {
	bridge := o.Bridges[nic.Switch]
	if bridge == "" {
		return nil
	}
	device := o.device(nic.Guest, nic.Key)
	if err := run("ip", "link", "set", device, "up"); err != nil {
		return err
	}
	// Whoever left a port of this name had another device; a port without its VLAN would be a trunk for a moment.
	port := []string{"--if-exists", "del-port", device, "--", "add-port", bridge, device, "vlan_mode=access", "tag=4095"}
	if err := o.vsctl(append(port, "external_ids:guest="+o.mark(nic.Guest))...); err != nil {
		return err
	}
	return o.Update(nic)
}

// Update implements Plug.
func (o OpenVSwitch) Update(nic NIC) error {
	bridge := o.Bridges[nic.Switch]
	if bridge == "" {
		return nil
	}
	if err := o.setFlows(bridge, nic); err != nil {
		return err
	}
	port := []string{"set", "Port", o.device(nic.Guest, nic.Key)}
	if nic.VLAN == AllVLANs {
		return o.vsctl("clear", "Port", port[2], "tag", "--", "set", "Port", port[2], "vlan_mode=trunk")
	}
	return o.vsctl(append(port, "vlan_mode=access", "tag="+strconv.Itoa(int(nic.VLAN)))...)
}

// Disconnect implements Plug.
func (o OpenVSwitch) Disconnect(nic NIC) error {
	return o.remove(o.device(nic.Guest, nic.Key))
}

// remove takes a device out of its bridge, and its rules with it.
func (o OpenVSwitch) remove(device string) error {
	err := o.vsctl("--if-exists", "del-port", device)
	for _, bridge := range o.Bridges {
		err = errors.Join(err, run("ovs-ofctl", o.timeout(), "del-flows", o.management(bridge), fmt.Sprintf("cookie=0x%x/-1", cookie(device))))
	}
	return err
}

// DisconnectAll implements Plug.
func (o OpenVSwitch) DisconnectAll(guest string) error {
	found, err := exec.Command("ovs-vsctl", "--db="+o.Database, o.timeout(), "--bare", "--columns=name",
		"find", "Port", "external_ids:guest="+o.mark(guest)).Output()
	if err != nil {
		return err
	}
	for _, device := range strings.Fields(string(found)) {
		if err := o.remove(device); err != nil {
			return err
		}
	}
	return nil
}

// device is a name that Linux takes: 15 letters at most.
func (o OpenVSwitch) device(guest string, key int32) string {
	return "vm" + digest(fmt.Sprintf("%s/%d", o.mark(guest), key), 12)
}

// cookie marks the flows of a device.
func cookie(device string) uint64 {
	number, _ := strconv.ParseUint(digest(device, 15), 16, 64) // 15 hexadecimal digits always are one
	return number
}

func (o OpenVSwitch) mark(guest string) string { return digest(o.Folder, 16) + "-" + guest }

func digest(text string, letters int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:letters]
}

func (o OpenVSwitch) timeout() string { return fmt.Sprintf("--timeout=%d", vsctlTimeout) }

func (o OpenVSwitch) vsctl(arguments ...string) error {
	return run("ovs-vsctl", append([]string{"--db=" + o.Database, o.timeout()}, arguments...)...)
}

func run(name string, arguments ...string) error {
	if said, err := exec.Command(name, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, strings.TrimSpace(string(said)))
	}
	return nil
}
