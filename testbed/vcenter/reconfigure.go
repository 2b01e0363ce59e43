package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/disk"
)

// ReconfigVMTask changes the configuration. A running guest sees its disks and network adapters come, grow and go at once,
// and other hardware when it is next powered on.
func (m *machine) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "ReconfigVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return nil, m.reconfigure(ctx, req)
	})
	return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: task}}
}

func (m *machine) reconfigure(ctx *simulator.Context, req *types.ReconfigVM_Task) types.BaseMethodFault {
	if fault := m.vcenter.checkDevices(m.host(), &req.Spec); fault != nil {
		return fault
	}
	destroyed, before, ports := m.destroyedDisks(&req.Spec), slices.Clone(m.Config.Hardware.Device), m.boundPorts()
	body := m.VirtualMachine.ReconfigVMTask(ctx, req).(*methods.ReconfigVM_TaskBody)
	if body.Fault() != nil {
		return body.Fault().VimFault().(types.BaseMethodFault)
	}
	if _, fault := m.vcenter.await(body.Res.Returnval); fault != nil {
		return fault
	}
	for _, path := range destroyed {
		if _, err := os.Stat(path); err == nil {
			_ = disk.Delete(path) // in a form that the simulator does not know
		}
	}
	if fault := m.settleDisks(ctx, before); fault != nil {
		return fault
	}
	defer m.bindPorts(ctx, ports)
	return m.plugChanges(ctx, before)
}

// destroyedDisks lists the files of the disks that the spec removes for good.
func (m *machine) destroyedDisks(spec *types.VirtualMachineConfigSpec) []string {
	var paths []string
	for _, change := range spec.DeviceChange {
		device := change.GetVirtualDeviceConfigSpec()
		if device.FileOperation != types.VirtualDeviceConfigSpecFileOperationDestroy {
			continue
		}
		backing, ok := device.Device.GetVirtualDevice().Backing.(types.BaseVirtualDeviceFileBackingInfo)
		if !ok {
			continue
		}
		if path, fault := m.file(backing.GetVirtualDeviceFileBackingInfo().FileName); fault == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// DestroyTask deletes the VM with its disks and its folder.
func (m *machine) DestroyTask(ctx *simulator.Context, _ *types.Destroy_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "Destroy_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if m.Runtime.PowerState == poweredOn {
			return nil, m.wrongState(poweredOff)
		}
		return nil, m.destroy(ctx)
	})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task}}
}

func (m *machine) destroy(ctx *simulator.Context) types.BaseMethodFault {
	if m.vcenter.registry().Get(m.Self) == nil {
		return &types.ManagedObjectNotFound{Obj: m.Self}
	}
	if fault := m.powerOff(ctx); fault != nil {
		return fault
	}
	// Files go first: a kill in between leaves a machine that can be destroyed again, not files that nobody knows.
	for _, path := range m.diskFiles() {
		if err := disk.Delete(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fileFault(filepath.Base(path), err)
		}
	}
	if home, fault := m.file(m.Config.Files.LogDirectory); fault == nil {
		if err := os.RemoveAll(home); err != nil {
			return fileFault(m.Config.Files.LogDirectory, err)
		}
	}
	body := m.VirtualMachine.DestroyTask(ctx, &types.Destroy_Task{This: m.Self}).(*methods.Destroy_TaskBody)
	if _, fault := m.vcenter.await(body.Res.Returnval); fault != nil {
		return fault
	}
	if err := m.vcenter.fleet.Forget(m.Self.Value); err != nil {
		return systemFault(err)
	}
	return nil
}

// diskFiles lists the descriptors of the VM's disks.
func (m *machine) diskFiles() []string {
	var paths []string
	for _, device := range m.disks() {
		if path, fault := m.diskPath(device); fault == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// UnregisterVM takes the VM out of the inventory, and leaves its files.
func (m *machine) UnregisterVM(ctx *simulator.Context, req *types.UnregisterVM) soap.HasFault {
	if m.Runtime.PowerState == suspended {
		if running := m.vcenter.forget(m.Self); running != nil {
			_ = running.Kill()
		}
	}
	return m.VirtualMachine.UnregisterVM(ctx, req)
}
