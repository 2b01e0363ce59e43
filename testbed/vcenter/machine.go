package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/disk"
	"polyvisor/testbed/vcenter/internal/guest"
)

// machine is a virtual machine that runs for real.
type machine struct {
	*simulator.VirtualMachine
	vcenter *vcenter
}

// file returns where a datastore path such as "[datastore1] vm/vm.vmdk" is on this machine.
func (m *machine) file(path string) (string, types.BaseMethodFault) {
	return m.vcenter.file(m.host(), path)
}

func (m *machine) host() *simulator.HostSystem {
	return m.vcenter.registry().Get(*m.Runtime.Host).(*simulator.HostSystem)
}

// guestSpec translates the VM's configuration for QEMU.
func (m *machine) guestSpec() (guest.Spec, types.BaseMethodFault) {
	config := m.Config
	spec := guest.Spec{
		Name: m.Name, UUID: config.Uuid, SerialNumber: serialNumber(config.Uuid),
		MemoryMiB: int64(config.Hardware.MemoryMB), CPUs: config.Hardware.NumCPU, CoresPerSocket: 1,
		EFI: config.Firmware == string(types.GuestOsDescriptorFirmwareTypeEfi),
	}
	if cores := config.Hardware.NumCoresPerSocket; cores != nil {
		spec.CoresPerSocket = *cores
	}
	for _, device := range config.Hardware.Device {
		if fault := m.addDevice(&spec, device); fault != nil {
			return spec, fault
		}
	}
	orderBoot(&spec)
	return spec, nil
}

func (m *machine) addDevice(spec *guest.Spec, device types.BaseVirtualDevice) types.BaseMethodFault {
	if bus, ok := busOf(device); ok {
		controller := device.(types.BaseVirtualController).GetVirtualController()
		spec.Controllers = append(spec.Controllers, guest.Controller{Key: controller.Key, Bus: bus, Number: controller.BusNumber})
		return nil
	}
	switch found := device.(type) {
	case *types.VirtualDisk:
		return m.addDisk(spec, found)
	case *types.VirtualCdrom:
		return m.addCdrom(spec, found)
	case *types.VirtualSerialPort:
		return m.addSerial(spec, found)
	case types.BaseVirtualEthernetCard:
		spec.NICs = append(spec.NICs, m.nicOf(found))
	}
	return nil
}

func busOf(device types.BaseVirtualDevice) (guest.Bus, bool) {
	switch device.(type) {
	case *types.VirtualIDEController:
		return guest.IDE, true
	case *types.ParaVirtualSCSIController:
		return guest.ParaVirtual, true
	case *types.VirtualLsiLogicSASController:
		return guest.LsiLogicSAS, true
	case *types.VirtualLsiLogicController:
		return guest.LsiLogic, true
	case *types.VirtualBusLogicController:
		return guest.BusLogic, true
	case *types.VirtualAHCIController:
		return guest.AHCI, true
	case *types.VirtualNVMEController:
		return guest.NVMe, true
	}
	return "", false
}

func (m *machine) addDisk(spec *guest.Spec, device *types.VirtualDisk) types.BaseMethodFault {
	path, fault := m.diskPath(device)
	if fault != nil {
		return fault
	}
	flat, err := disk.Flat(path)
	if err != nil {
		return diskFault(device, err)
	}
	spec.Drives = append(spec.Drives, guest.Drive{Key: device.Key, Controller: device.ControllerKey, Unit: unit(device.UnitNumber), Path: flat})
	return nil
}

// diskFault is ESXi's for a disk that a VM cannot be powered on with.
func diskFault(device *types.VirtualDisk, err error) types.BaseMethodFault {
	if errors.Is(err, disk.ErrNotRunnable) {
		return configFault(fmt.Errorf("unsupported or invalid disk type for device %d: %s. Ensure that the disk has been imported: %w",
			device.Key, nameOf(device), err))
	}
	return fileFault(nameOf(device), err)
}

func (m *machine) addCdrom(spec *guest.Spec, device *types.VirtualCdrom) types.BaseMethodFault {
	drive := guest.Drive{Key: device.Key, Controller: device.ControllerKey, Unit: unit(device.UnitNumber), CDROM: true}
	if backing, ok := device.Backing.(*types.VirtualCdromIsoBackingInfo); ok && startsConnected(&device.VirtualDevice) && backing.FileName != "" {
		path, fault := m.file(backing.FileName)
		if fault != nil {
			return fault
		}
		if _, err := os.Stat(path); err != nil {
			return fileFault(backing.FileName, err)
		}
		drive.Path = path
	}
	spec.Drives = append(spec.Drives, drive)
	return nil
}

func (m *machine) addSerial(spec *guest.Spec, device *types.VirtualSerialPort) types.BaseMethodFault {
	backing, ok := device.Backing.(*types.VirtualSerialPortFileBackingInfo)
	if !ok || !startsConnected(&device.VirtualDevice) {
		return nil
	}
	path, fault := m.file(backing.FileName)
	if fault != nil {
		return fault
	}
	replace := strings.EqualFold(m.option("answer.msg.serial.file.open"), "replace")
	spec.Serials = append(spec.Serials, guest.Serial{Path: path, Append: !replace})
	return nil
}

// orderBoot lets the firmware try disks in their order first and discs after, as VMware's does.
func orderBoot(spec *guest.Spec) {
	next := 1
	for _, cdrom := range []bool{false, true} {
		for i := range spec.Drives {
			if drive := &spec.Drives[i]; drive.CDROM == cdrom && drive.Path != "" {
				drive.BootIndex = next
				next++
			}
		}
	}
}

// option is the value of an extraConfig key, or nothing.
func (m *machine) option(key string) string {
	for _, option := range m.Config.ExtraConfig {
		if value := option.GetOptionValue(); value.Key == key {
			return fmt.Sprint(value.Value)
		}
	}
	return ""
}

func startsConnected(device *types.VirtualDevice) bool {
	return device.Connectable == nil || device.Connectable.StartConnected
}

func unit(number *int32) int32 {
	if number == nil {
		return 0
	}
	return *number
}

// serialNumber is the form in which a VM's firmware shows its UUID: "VMware-56 4d ...-...".
func serialNumber(uuid string) string {
	digits := strings.ReplaceAll(uuid, "-", "")
	var out strings.Builder
	out.WriteString("VMware-")
	for i := 0; i+1 < len(digits); i += 2 {
		switch {
		case i == 16:
			out.WriteByte('-')
		case i > 0:
			out.WriteByte(' ')
		}
		out.WriteString(digits[i : i+2])
	}
	return out.String()
}

// file finds a datastore path among the datastores of a host.
func (v *vcenter) file(host *simulator.HostSystem, path string) (string, types.BaseMethodFault) {
	var parsed object.DatastorePath
	if !parsed.FromString(path) {
		return "", &types.InvalidDatastorePath{DatastorePath: path, InvalidDatastore: types.InvalidDatastore{Name: path}}
	}
	store, ok := v.registry().FindByName(parsed.Datastore, host.Datastore).(*simulator.Datastore)
	if !ok {
		return "", &types.InvalidDatastore{Name: parsed.Datastore}
	}
	return within(store.Summary.Url, parsed.Path, path)
}
