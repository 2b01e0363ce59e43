package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Accelerator is what QEMU runs guest code with.
type Accelerator string

// The accelerators; Auto is settled by Choose.
const (
	TCG  Accelerator = "tcg"
	KVM  Accelerator = "kvm"
	Auto Accelerator = "auto"
)

// cpu is the model a guest gets: all features of the accelerator.
func (a Accelerator) cpu() string {
	if a == KVM {
		return "host"
	}
	return "max"
}

const program = "qemu-system-x86_64"

// Ready tells whether the programs are there that guests and disks need.
func Ready() error {
	for _, needed := range []struct{ program, source string }{{program, "qemu-system-x86"}, {"qemu-img", "qemu-utils"}} {
		if _, err := exec.LookPath(needed.program); err != nil {
			return fmt.Errorf("%s is not on PATH; Debian's package %s has it", needed.program, needed.source)
		}
	}
	return nil
}

// probeExit is what QEMU's debug exit device makes of the value 1: (1 << 1) | 1.
const probeExit = 3

const probeTimeout = 5 * time.Second

// Choose returns the wanted accelerator. Auto takes KVM if a tiny guest really runs under it: that /dev/kvm opens proves nothing.
func Choose(ctx context.Context, wanted Accelerator) Accelerator {
	if wanted != Auto {
		return wanted
	}
	if works(ctx, KVM) {
		return KVM
	}
	return TCG
}

// works boots a sector whose only deed is to write 1 to the debug exit port.
func works(ctx context.Context, accelerator Accelerator) bool {
	folder, err := os.MkdirTemp("", "polyvisor-probe-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(folder)
	sector := make([]byte, 512)
	copy(sector, []byte{0xba, 0xf4, 0x00, 0xb0, 0x01, 0xee, 0xf4}) // mov dx, 0xf4; mov al, 1; out dx, al; hlt
	sector[510], sector[511] = 0x55, 0xaa
	image := filepath.Join(folder, "probe.raw")
	if os.WriteFile(image, sector, 0o600) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err = exec.CommandContext(ctx, program, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc",
		"-accel", string(accelerator), "-m", "16", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
		"-drive", "if=ide,format=raw,file="+image).Run()
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == probeExit
}
