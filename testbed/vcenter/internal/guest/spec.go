// Package guest runs a virtual machine of the test vCenter in QEMU.
package guest

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Bus is the kind of a disk controller, in QEMU's or VMware's words where they agree.
type Bus string

// The controllers of VMware's virtual hardware, by the QEMU device that stands for them.
const (
	IDE         Bus = "ide"        // VirtualIDEController: the PIIX4 of VMware's 440BX is QEMU's PIIX3 here
	ParaVirtual Bus = "pvscsi"     // ParaVirtualSCSIController: the same device
	LsiLogicSAS Bus = "mptsas1068" // VirtualLsiLogicSASController: the same chip, an LSI SAS1068
	LsiLogic    Bus = "lsi53c895a" // VirtualLsiLogicController is a 53C1030, which QEMU lacks: its older sister
	BusLogic    Bus = "am53c974"   // VirtualBusLogicController is a BT-958, which QEMU lacks: the oldest one it has
	AHCI        Bus = "ahci"       // VirtualAHCIController
	NVMe        Bus = "nvme"       // VirtualNVMEController
)

// unitLimit is the number of units of one controller, in QEMU.
var unitLimit = map[Bus]int32{IDE: 2, ParaVirtual: 65, LsiLogicSAS: 8, LsiLogic: 8, BusLogic: 8, AHCI: 6, NVMe: 15}

// Controller is one disk controller; Key is its device key in the VM's configuration.
type Controller struct {
	Key int32
	Bus Bus
	// Number is the bus number, by which IDE controllers are told apart.
	Number int32
}

// Drive is a disk or a CD-ROM.
type Drive struct {
	Key        int32
	Controller int32
	Unit       int32
	// Path is the file with raw bytes; empty for a CD-ROM drive without a disc.
	Path      string
	CDROM     bool
	BootIndex int
}

// NIC is a network adapter of Model vmxnet3, e1000, e1000e or pcnet.
type NIC struct {
	// Guest is the VM's managed object id.
	Guest string
	Key   int32
	Model string
	MAC   string
	// Switch is the name of the virtual switch that its port group is on.
	Switch string
	// VLAN is the port group's; 0 = untagged, AllVLANs = all tags.
	VLAN int32
	// Rules are its port's; none = nothing is filtered.
	Rules []Rule
}

// Serial is a serial port that writes to the file at Path.
type Serial struct {
	Path   string
	Append bool
}

// Spec is all that QEMU has to know of a VM.
type Spec struct {
	Name           string
	UUID           string
	SerialNumber   string
	MemoryMiB      int64
	CPUs           int32
	CoresPerSocket int32
	EFI            bool
	Controllers    []Controller
	Drives         []Drive
	NICs           []NIC
	Serials        []Serial
}

// Arguments returns QEMU's command line, without the program; its files are relative to the guest's own folder.
func (s Spec) Arguments(accelerator Accelerator, plug Plug) ([]string, error) {
	cores := max(s.CoresPerSocket, 1)
	arguments := []string{
		"-name", "guest=" + escape(s.Name) + ",debug-threads=off",
		"-nodefaults", "-no-user-config",
		"-machine", "pc,vmport=on,usb=off", "-accel", string(accelerator), "-cpu", accelerator.cpu(),
		"-m", strconv.FormatInt(s.MemoryMiB, 10),
		"-smp", fmt.Sprintf("cpus=%d,sockets=%d,cores=%d,threads=1", s.CPUs, max(s.CPUs/cores, 1), min(cores, s.CPUs)),
		"-uuid", s.UUID,
		"-smbios", "type=1,manufacturer=VMware,, Inc.,product=VMware Virtual Platform,serial=" + escape(s.SerialNumber),
		"-display", "none", "-vga", "std",
		"-rtc", "base=utc",
		"-chardev", "socket,id=monitor,path=" + socketName + ",server=on,wait=off", "-mon", "chardev=monitor,mode=control",
	}
	if s.EFI {
		arguments = append(arguments,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+firmwareCode,
			"-drive", "if=pflash,unit=1,format=raw,file="+firmwareVars)
	}
	for _, part := range []func() ([]string, error){s.controllers, s.drives, func() ([]string, error) { return s.nics(plug) }, s.serials} {
		more, err := part()
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, more...)
	}
	return arguments, nil
}

func (s Spec) controllers() ([]string, error) {
	var arguments []string
	for _, controller := range s.Controllers {
		switch controller.Bus {
		case IDE: // part of the machine
		case NVMe:
			arguments = append(arguments, "-device", fmt.Sprintf("nvme,id=ctrl%d,serial=VMWare-NVME-%d", controller.Key, controller.Key))
		default:
			arguments = append(arguments, "-device", fmt.Sprintf("%s,id=ctrl%d", controller.Bus, controller.Key))
		}
	}
	return arguments, nil
}

func (s Spec) drives() ([]string, error) {
	var arguments []string
	for _, drive := range s.Drives {
		device, err := s.device(drive)
		if err != nil {
			return nil, err
		}
		if drive.Path != "" {
			node, err := blockNode(drive)
			if err != nil {
				return nil, err
			}
			arguments = append(arguments, "-blockdev", node)
			device += ",drive=" + nodeName(drive.Key)
		}
		if drive.BootIndex > 0 {
			device += fmt.Sprintf(",bootindex=%d", drive.BootIndex)
		}
		arguments = append(arguments, "-device", device)
	}
	return arguments, nil
}

// device is the -device of a drive: its place on the controller that the configuration names.
func (s Spec) device(drive Drive) (string, error) {
	for _, controller := range s.Controllers {
		if controller.Key != drive.Controller {
			continue
		}
		if limit := unitLimit[controller.Bus]; drive.Unit < 0 || drive.Unit >= limit {
			return "", fmt.Errorf("unit %d of controller %d is beyond QEMU's %s, which has %d", drive.Unit, controller.Key, controller.Bus, limit)
		}
		kind := "hd"
		if drive.CDROM {
			kind = "cd"
		}
		id := fmt.Sprintf("id=drive%d", drive.Key)
		switch controller.Bus {
		case IDE:
			return fmt.Sprintf("ide-%s,%s,bus=ide.%d,unit=%d", kind, id, controller.Number, drive.Unit), nil
		case AHCI:
			return fmt.Sprintf("ide-%s,%s,bus=ctrl%d.%d", kind, id, controller.Key, drive.Unit), nil
		case NVMe:
			return fmt.Sprintf("nvme-ns,%s,bus=ctrl%d,nsid=%d", id, controller.Key, drive.Unit+1), nil
		default:
			return fmt.Sprintf("scsi-%s,%s,bus=ctrl%d.0,scsi-id=%d", kind, id, controller.Key, drive.Unit), nil
		}
	}
	return "", fmt.Errorf("device %d names the controller %d, which the VM does not have", drive.Key, drive.Controller)
}

func nodeName(key int32) string { return fmt.Sprintf("node%d", key) }

func blockNode(drive Drive) (string, error) {
	node := map[string]any{
		"driver": "raw", "node-name": nodeName(drive.Key), "read-only": drive.CDROM,
		"file": map[string]any{"driver": "file", "filename": drive.Path},
	}
	if !drive.CDROM {
		node["discard"] = "unmap"
	}
	text, err := json.Marshal(node)
	return string(text), err
}

// device is the -device of an adapter.
func (n NIC) device() string {
	return fmt.Sprintf("%s,id=nic%d,netdev=net%d,mac=%s", n.Model, n.Key, n.Key, n.MAC)
}

func (s Spec) nics(plug Plug) ([]string, error) {
	var arguments []string
	for _, nic := range s.NICs {
		netdev, err := plug.Netdev(nic)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, "-netdev", netdev, "-device", nic.device())
	}
	return arguments, nil
}

func (s Spec) serials() ([]string, error) {
	var arguments []string
	for i, serial := range s.Serials {
		mode := "off"
		if serial.Append {
			mode = "on"
		}
		arguments = append(arguments,
			"-chardev", fmt.Sprintf("file,id=serial%d,path=%s,append=%s", i, escape(serial.Path), mode),
			"-serial", fmt.Sprintf("chardev:serial%d", i))
	}
	return arguments, nil
}

// escape doubles commas, which part QEMU's options.
func escape(value string) string {
	var out []rune
	for _, letter := range value {
		if letter == ',' {
			out = append(out, ',')
		}
		out = append(out, letter)
	}
	return string(out)
}
