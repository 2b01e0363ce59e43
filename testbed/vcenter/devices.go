package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"polyvisor/testbed/vcenter/internal/disk"
)

// copyDevices copies a list of devices with all they hold.
func copyDevices(devices []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	var text bytes.Buffer
	if err := xml.NewEncoder(&text).Encode(types.ArrayOfVirtualDevice{VirtualDevice: devices}); err != nil {
		panic(err) // all devices are types of the API, which can be encoded
	}
	decoder := xml.NewDecoder(&text)
	decoder.TypeFunc = types.TypeFunc()
	var copied types.ArrayOfVirtualDevice
	if err := decoder.Decode(&copied); err != nil {
		panic(err)
	}
	return copied.VirtualDevice
}

// complete sets what vCenter always has in a VM and the simulator leaves empty: clients cannot parse an empty enum.
func (m *machine) complete(ctx *simulator.Context) {
	m.vcenter.update(ctx, m.VirtualMachine, func() []types.PropertyChange {
		m.Runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateNotConfigured
		m.Runtime.RecordReplayState = types.VirtualMachineRecordReplayStateInactive
		m.Runtime.ConnectionState = types.VirtualMachineConnectionStateConnected
		return []types.PropertyChange{
			{Name: "runtime", Val: m.Runtime},
			{Name: "summary.runtime", Val: m.Runtime},
			{Name: "summary.config.template", Val: m.Config.Template},
			{Name: "summary.config.instanceUuid", Val: m.Config.InstanceUuid},
			{Name: "guest.guestState", Val: string(types.VirtualMachineGuestStateNotRunning)},
			{Name: "guestHeartbeatStatus", Val: types.ManagedEntityStatusGray},
			{Name: "summary.quickStats.guestHeartbeatStatus", Val: types.ManagedEntityStatusGray},
		}
	})
}

// disks lists the VM's disks by controller and unit.
func (m *machine) disks() []*types.VirtualDisk {
	var disks []*types.VirtualDisk
	for _, device := range m.Config.Hardware.Device {
		if found, ok := device.(*types.VirtualDisk); ok {
			disks = append(disks, found)
		}
	}
	slices.SortFunc(disks, func(one, two *types.VirtualDisk) int {
		return cmp.Or(cmp.Compare(one.ControllerKey, two.ControllerKey), cmp.Compare(unit(one.UnitNumber), unit(two.UnitNumber)))
	})
	return disks
}

// diskPath is where a disk's descriptor is on this machine.
func (m *machine) diskPath(device *types.VirtualDisk) (string, types.BaseMethodFault) {
	backing, ok := device.Backing.(types.BaseVirtualDeviceFileBackingInfo)
	if !ok {
		return "", configFault(fmt.Errorf("disk %d has the backing %T, which the test vCenter cannot run", device.Key, device.Backing))
	}
	return m.file(backing.GetVirtualDeviceFileBackingInfo().FileName)
}

// nameOf is the datastore path of a disk's descriptor.
func nameOf(device *types.VirtualDisk) string {
	if backing, ok := device.Backing.(types.BaseVirtualDeviceFileBackingInfo); ok {
		return backing.GetVirtualDeviceFileBackingInfo().FileName
	}
	return ""
}

// settleDisks makes the files of the VM's disks what its configuration says: the simulator writes empty ones for new
// disks, and leaves a disk that was made larger as it was. A disk that the VM did not have before, and that exists, has the
// size it has, whatever the client says.
func (m *machine) settleDisks(ctx *simulator.Context, before []types.BaseVirtualDevice) types.BaseMethodFault {
	devices := object.VirtualDeviceList(m.Config.Hardware.Device)
	for _, found := range m.disks() {
		path, fault := m.diskPath(found)
		if fault != nil {
			return fault
		}
		had := len(without([]types.BaseVirtualDevice{found}, before)) == 0
		if err := m.settleDisk(ctx, path, found, had, adapterOf(devices.FindByKey(found.ControllerKey))); err != nil {
			return fileFault(nameOf(found), err)
		}
	}
	return nil
}

func (m *machine) settleDisk(ctx *simulator.Context, path string, device *types.VirtualDisk, had bool, adapter string) error {
	desc, err := disk.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && desc.Hosted() {
		m.size(ctx, device, desc.Capacity())
		return nil // powering on will refuse it
	}
	if unmade(path) {
		_ = os.Remove(disk.FlatName(path))
		if err := os.Remove(path); err != nil {
			return err
		}
		return disk.Create(path, device.CapacityInBytes, provisionOf(device), adapter)
	}
	if err != nil {
		return err
	}
	if had && device.CapacityInBytes > desc.Capacity() {
		if err := disk.Extend(path, device.CapacityInBytes); err != nil {
			return err
		}
		if running := m.vcenter.guest(m.Self); running != nil {
			return running.Resize(device.Key, device.CapacityInBytes)
		}
		return nil
	}
	m.size(ctx, device, desc.Capacity())
	return nil
}

// unmade tells the simulator's empty flat file from a disk.
func unmade(path string) bool {
	info, err := os.Stat(disk.FlatName(path))
	return err == nil && info.Size() == 0
}

// size corrects a capacity that the client gave wrong for a disk that existed before.
func (m *machine) size(ctx *simulator.Context, device *types.VirtualDisk, capacity int64) {
	if device.CapacityInBytes == capacity {
		return
	}
	m.vcenter.update(ctx, m.VirtualMachine, func() []types.PropertyChange {
		device.CapacityInBytes, device.CapacityInKB = capacity, capacity>>10
		return []types.PropertyChange{{Name: "config.hardware.device", Val: m.Config.Hardware.Device}}
	})
}

func provisionOf(device *types.VirtualDisk) disk.Provision {
	flat, ok := device.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	switch {
	case ok && flat.ThinProvisioned != nil && *flat.ThinProvisioned:
		return disk.Thin
	case ok && flat.EagerlyScrub != nil && *flat.EagerlyScrub:
		return disk.EagerZeroedThick
	}
	return disk.Preallocated
}

// adapterOf is the descriptor's word for a controller; those newer than the word list are "lsilogic", as ESXi has it.
func adapterOf(controller types.BaseVirtualDevice) string {
	switch controller.(type) {
	case *types.VirtualIDEController:
		return "ide"
	case *types.VirtualBusLogicController:
		return "buslogic"
	}
	return "lsilogic"
}
