package main

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/guest"
)

// plugChanges brings to the running guest the disks and network adapters that its configuration has gained or lost
// since before. What the guest does not take is taken out of the configuration again.
func (m *machine) plugChanges(ctx *simulator.Context, before []types.BaseVirtualDevice) types.BaseMethodFault {
	running := m.vcenter.guest(m.Self)
	if running == nil {
		return nil
	}
	for _, device := range without(before, m.Config.Hardware.Device) {
		if err := m.unplug(running, device); err != nil {
			return configFault(err)
		}
	}
	for _, device := range without(m.Config.Hardware.Device, before) {
		if fault := m.plug(running, device); fault != nil {
			m.takeOut(ctx, device)
			return fault
		}
	}
	return nil
}

// without lists the devices whose keys the others do not have.
func without(devices, others []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	return slices.DeleteFunc(slices.Clone(devices), func(device types.BaseVirtualDevice) bool {
		return slices.ContainsFunc(others, func(other types.BaseVirtualDevice) bool {
			return other.GetVirtualDevice().Key == device.GetVirtualDevice().Key
		})
	})
}

func (m *machine) plug(running *guest.Guest, device types.BaseVirtualDevice) types.BaseMethodFault {
	switch found := device.(type) {
	case *types.VirtualDisk:
		spec, fault := m.guestSpec()
		if fault != nil {
			return fault
		}
		for _, drive := range spec.Drives {
			if drive.Key == found.Key {
				if err := running.AddDrive(spec, drive); err != nil {
					return diskFault(found, err)
				}
			}
		}
	case types.BaseVirtualEthernetCard:
		if err := running.AddNIC(m.nicOf(found)); err != nil {
			return configFault(err)
		}
	}
	return nil
}

func (m *machine) unplug(running *guest.Guest, device types.BaseVirtualDevice) error {
	key := device.GetVirtualDevice().Key
	switch found := device.(type) {
	case *types.VirtualDisk:
		return running.RemoveDrive(key)
	case types.BaseVirtualEthernetCard:
		return running.RemoveNIC(m.nicOf(found))
	}
	return nil
}

// takeOut removes a device from the configuration, and leaves its file.
func (m *machine) takeOut(ctx *simulator.Context, device types.BaseVirtualDevice) {
	body := m.VirtualMachine.ReconfigVMTask(ctx, &types.ReconfigVM_Task{This: m.Self, Spec: types.VirtualMachineConfigSpec{
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: device,
		}},
	}}).(*methods.ReconfigVM_TaskBody)
	if body.Fault() == nil {
		_, _ = m.vcenter.await(body.Res.Returnval)
	}
}
