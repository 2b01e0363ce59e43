package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	socketName   = "qmp.sock"
	pidName      = "qemu.pid"
	logName      = "qemu.log"
	firmwareVars = "firmware-vars.fd"
	firmwareCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	startTimeout = 30 * time.Second
	killTimeout  = 10 * time.Second
)

// Fleet starts guests, each in a folder of its own below Folder.
type Fleet struct {
	Folder      string
	Accelerator Accelerator
	Plug        Plug
	// DieWithMe makes guests end with this process. ESXi's VMs outlive vCenter, so it is off unless asked for.
	DieWithMe bool
}

// Guest is a running QEMU.
type Guest struct {
	ID     string
	folder string
	pid    int
	qmp    *monitor
	plug   Plug
	done   chan struct{}
	once   sync.Once
}

// Start runs a VM and returns when its QEMU has made all devices. The error carries what QEMU said.
func (f Fleet) Start(id string, spec Spec) (*Guest, error) {
	folder := filepath.Join(f.Folder, id)
	if pid, err := Running(folder); err == nil {
		return nil, fmt.Errorf("QEMU %d runs in %s already", pid, folder)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if spec.EFI {
		if err := keepVariables(filepath.Join(folder, firmwareVars)); err != nil {
			return nil, err
		}
	}
	arguments, err := spec.Arguments(f.Accelerator, f.Plug)
	if err != nil {
		return nil, err
	}
	_ = os.Remove(filepath.Join(folder, socketName))
	command, exited, err := f.spawn(folder, arguments)
	if err != nil {
		return nil, err
	}
	guest := &Guest{ID: id, folder: folder, pid: command.Process.Pid, plug: f.Plug, done: make(chan struct{})}
	err = guest.connect(exited)
	for _, nic := range spec.NICs {
		if err == nil {
			err = f.Plug.Connect(nic)
		}
	}
	if err != nil {
		_ = command.Process.Kill()
		<-exited
		_ = f.Plug.DisconnectAll(id)
		said, _ := os.ReadFile(filepath.Join(folder, logName))
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said)))
	}
	go guest.watch()
	return guest, nil
}

// spawn runs QEMU in its own session. A parent-death signal follows the thread, which therefore stays with its goroutine.
func (f Fleet) spawn(folder string, arguments []string) (*exec.Cmd, chan error, error) {
	log, err := os.Create(filepath.Join(folder, logName))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	command := exec.Command(program, arguments...)
	command.Dir, command.Stdout, command.Stderr = folder, log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	exited, started := make(chan error, 1), make(chan error, 1)
	go func() {
		if f.DieWithMe {
			runtime.LockOSThread()
			command.SysProcAttr.Pdeathsig = syscall.SIGKILL
		}
		err := command.Start()
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, pidName), []byte(strconv.Itoa(command.Process.Pid)), 0o600)
		}
		started <- err
		if command.Process != nil {
			exited <- command.Wait()
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, nil, fmt.Errorf("cannot run %s: %w", program, err)
	}
	return command, exited, nil
}

// connect waits for the monitor, which answers once all devices are made.
func (g *Guest) connect(exited <-chan error) error {
	for deadline := time.Now().Add(startTimeout); ; {
		qmp, err := dial(g.folder)
		if err == nil {
			g.qmp = qmp
			return nil
		}
		select {
		case <-exited:
			return errors.New("QEMU ended at its start")
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("QEMU's monitor was not there within %s: %w", startTimeout, err)
		}
	}
}

// Adopt takes over a guest that an earlier process started, or returns ErrGone.
func (f Fleet) Adopt(id string) (*Guest, error) {
	folder := filepath.Join(f.Folder, id)
	pid, err := Running(folder)
	if err != nil {
		return nil, err
	}
	guest := &Guest{ID: id, folder: folder, pid: pid, plug: f.Plug, done: make(chan struct{})}
	if err := guest.connect(nil); err != nil {
		return nil, err
	}
	go guest.watch()
	return guest, nil
}

// Running returns the pid of the QEMU that works in folder, or ErrGone. A pid that some other process has got since is not taken for it.
func Running(folder string) (int, error) {
	text, err := os.ReadFile(filepath.Join(folder, pidName))
	if err != nil {
		return 0, ErrGone
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, ErrGone
	}
	home, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return 0, ErrGone
	}
	real, err := filepath.EvalSymlinks(folder)
	if err != nil || home != real {
		return 0, ErrGone
	}
	return pid, nil
}

// watch closes Done when QEMU ends, by itself or by our doing.
func (g *Guest) watch() {
	<-g.qmp.closed
	g.once.Do(func() {
		if g.awaitEnd() != nil { // without its monitor nobody could tell it anything
			_ = syscall.Kill(g.pid, syscall.SIGKILL)
			_ = g.awaitEnd()
		}
		if err := g.plug.DisconnectAll(g.ID); err != nil {
			log.Printf("the adapters of %s stay plugged: %v", g.ID, err)
		}
		_ = os.Remove(filepath.Join(g.folder, pidName))
		close(g.done)
	})
}

// Done is closed when the guest has ended.
func (g *Guest) Done() <-chan struct{} { return g.done }

// Kill ends the guest at once, as if its power cord were pulled, and returns when it is gone.
func (g *Guest) Kill() error {
	if _, err := Running(g.folder); err == nil {
		if err := syscall.Kill(g.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	select {
	case <-g.done:
		return nil
	case <-time.After(killTimeout):
		return fmt.Errorf("QEMU %d did not end within %s", g.pid, killTimeout)
	}
}

func (g *Guest) awaitEnd() error {
	for deadline := time.Now().Add(killTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := Running(g.folder); err != nil {
			return nil
		}
	}
	return fmt.Errorf("QEMU %d closed its monitor and did not end", g.pid)
}

// Powerdown presses the power button; the guest may obey or not.
func (g *Guest) Powerdown() error { return g.tell("system_powerdown") }

// Reset presses the reset button.
func (g *Guest) Reset() error { return g.tell("system_reset") }

// Pause stops the guest's CPUs; its memory stays.
func (g *Guest) Pause() error { return g.tell("stop") }

// Resume lets a paused guest run on.
func (g *Guest) Resume() error { return g.tell("cont") }

// Paused tells whether the guest's CPUs are stopped.
func (g *Guest) Paused() (bool, error) {
	reply, err := g.qmp.execute("query-status", nil)
	if err != nil {
		return false, err
	}
	var status struct {
		Running bool `json:"running"`
	}
	err = json.Unmarshal(reply, &status)
	return !status.Running, err
}

// Resize tells a running guest that the disk with this device key has grown.
func (g *Guest) Resize(key int32, capacity int64) error {
	_, err := g.qmp.execute("block_resize", map[string]any{"node-name": nodeName(key), "size": capacity})
	return err
}

func (g *Guest) tell(command string) error {
	_, err := g.qmp.execute(command, nil)
	return err
}

// Forget removes what is kept of a guest that is no longer registered.
func (f Fleet) Forget(id string) error { return os.RemoveAll(filepath.Join(f.Folder, id)) }

// Sweep ends and removes guests that no VM is known for.
func (f Fleet) Sweep(known func(id string) bool) error {
	entries, err := os.ReadDir(f.Folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if known(entry.Name()) {
			continue
		}
		if pid, err := Running(filepath.Join(f.Folder, entry.Name())); err == nil {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		if err := f.Forget(entry.Name()); err != nil {
			return err
		}
	}
	return nil
}

// keepVariables gives a VM its own copy of the firmware's variables, once.
func keepVariables(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	empty, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.fd")
	if err != nil {
		return fmt.Errorf("a VM with EFI firmware needs OVMF (Debian: the package ovmf): %w", err)
	}
	return os.WriteFile(path, empty, 0o600)
}
