package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/disk"
)

// MigrateVMTask moves the VM to another host; its guest runs on.
func (m *machine) MigrateVMTask(ctx *simulator.Context, req *types.MigrateVM_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "MigrateVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if req.State != "" && req.State != m.Runtime.PowerState {
			return nil, m.wrongState(req.State)
		}
		return nil, m.relocate(ctx, &types.VirtualMachineRelocateSpec{Host: req.Host, Pool: req.Pool})
	})
	return &methods.MigrateVM_TaskBody{Res: &types.MigrateVM_TaskResponse{Returnval: task}}
}

// RelocateVMTask moves the VM to another host, pool, folder or datastore. Storage moves while the VM is off.
func (m *machine) RelocateVMTask(ctx *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "RelocateVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return nil, m.relocate(ctx, &req.Spec)
	})
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: task}}
}

func (m *machine) relocate(ctx *simulator.Context, spec *types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	host, fault := m.destination(spec)
	if fault != nil {
		return fault
	}
	if spec.Datastore != nil && !slices.Contains(host.Datastore, *spec.Datastore) {
		return &types.InvalidArgument{InvalidProperty: "spec.datastore"}
	}
	if spec.Datastore != nil && !slices.Contains(m.Datastore, *spec.Datastore) {
		if fault := m.moveStorage(ctx, *spec.Datastore, spec); fault != nil {
			return fault
		}
	}
	if fault := m.vcenter.checkDevices(host, &types.VirtualMachineConfigSpec{DeviceChange: spec.DeviceChange}); fault != nil {
		return fault
	}
	m.settleOn(ctx, host, spec.Pool)
	if spec.Folder != nil {
		if fault := m.moveInto(ctx, *spec.Folder); fault != nil {
			return fault
		}
	}
	if len(spec.DeviceChange) > 0 {
		return m.reconfigure(ctx, &types.ReconfigVM_Task{This: m.Self, Spec: types.VirtualMachineConfigSpec{DeviceChange: spec.DeviceChange}})
	}
	return nil
}

// destination is the host to move to, once it is clear that the VM can run there.
func (m *machine) destination(spec *types.VirtualMachineRelocateSpec) (*simulator.HostSystem, types.BaseMethodFault) {
	here := m.host()
	if spec.Host == nil {
		if spec.Pool == nil {
			return here, nil
		}
		hosts, fault := m.vcenter.hostsOf(*spec.Pool)
		if fault != nil || slices.Contains(hosts, here.Self) {
			return here, fault
		}
		return m.vcenter.place(hosts, &types.VirtualMachineConfigSpec{Files: &types.VirtualMachineFileInfo{VmPathName: m.Config.Files.VmPathName}})
	}
	host, ok := m.vcenter.registry().Get(*spec.Host).(*simulator.HostSystem)
	if !ok {
		return nil, &types.InvalidArgument{InvalidProperty: "host"}
	}
	if host.Self == here.Self {
		return host, nil
	}
	if !inService(host) {
		return nil, &types.InvalidState{}
	}
	if m.Runtime.PowerState == poweredOn {
		for _, end := range []*simulator.HostSystem{here, host} {
			if !end.Summary.Config.VmotionEnabled {
				fault := &types.VMotionNotConfigured{}
				fault.AtSourceHost, fault.FailedHost, fault.FailedHostEntity = end == here, end.Name, &end.Self
				return nil, fault
			}
		}
	}
	if spec.Datastore == nil {
		for _, store := range m.Datastore {
			if !slices.Contains(host.Datastore, store) {
				return nil, &types.NoCompatibleHost{}
			}
		}
	}
	return host, nil
}

// settleOn changes host and pool in the inventory.
func (m *machine) settleOn(ctx *simulator.Context, host *simulator.HostSystem, pool *types.ManagedObjectReference) {
	registry, here := m.vcenter.registry(), m.host()
	if here.Self != host.Self {
		registry.RemoveReference(ctx, here, &here.Vm, m.Self)
		registry.AddReference(ctx, host, &host.Vm, m.Self)
	}
	changes := []types.PropertyChange{{Name: "runtime.host", Val: host.Self}, {Name: "summary.runtime.host", Val: host.Self}}
	if pool != nil && m.ResourcePool != nil && *pool != *m.ResourcePool {
		if old, ok := registry.Get(*m.ResourcePool).(*simulator.ResourcePool); ok {
			registry.RemoveReference(ctx, old, &old.Vm, m.Self)
		}
		if next, ok := registry.Get(*pool).(*simulator.ResourcePool); ok {
			registry.AddReference(ctx, next, &next.Vm, m.Self)
		}
		changes = append(changes, types.PropertyChange{Name: "resourcePool", Val: *pool})
	}
	m.vcenter.update(ctx, m.VirtualMachine, func() []types.PropertyChange { return changes })
}

func (m *machine) moveInto(ctx *simulator.Context, ref types.ManagedObjectReference) types.BaseMethodFault {
	into, ok := m.vcenter.registry().Get(ref).(*simulator.Folder)
	if !ok {
		return &types.InvalidArgument{InvalidProperty: "spec.folder"}
	}
	body := into.MoveIntoFolderTask(ctx, &types.MoveIntoFolder_Task{This: ref, List: []types.ManagedObjectReference{m.Self}}).(*methods.MoveIntoFolder_TaskBody)
	_, fault := m.vcenter.await(body.Res.Returnval)
	return fault
}

// moveStorage moves the VM's folder with its disks to another datastore.
func (m *machine) moveStorage(ctx *simulator.Context, ref types.ManagedObjectReference, spec *types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	if m.Runtime.PowerState != poweredOff {
		fault := &types.NotSupported{}
		fault.MethodFault = said("the test vCenter moves the storage of machines only while they are powered off")
		return fault
	}
	store, ok := m.vcenter.registry().Get(ref).(*simulator.Datastore)
	if !ok {
		return &types.InvalidArgument{InvalidProperty: "spec.datastore"}
	}
	home, fault := m.file(parentOf(m.Config.Files.VmPathName))
	if fault != nil {
		return fault
	}
	target := filepath.Join(store.Summary.Url, filepath.Base(home))
	if err := os.Mkdir(target, 0o700); err != nil {
		return fileFault("["+store.Name+"] "+filepath.Base(home), err)
	}
	devices := copyDevices(m.Config.Hardware.Device)
	for _, device := range devices {
		if found, ok := device.(*types.VirtualDisk); ok {
			if fault := m.moveDisk(found, store, target, locatorOf(found.Key, spec)); fault != nil {
				_ = os.RemoveAll(target)
				return fault
			}
		}
	}
	return m.moveHome(ctx, home, target, store, devices)
}

// moveDisk copies one disk, and changes the device to the copy. The original goes when all have been copied.
func (m *machine) moveDisk(device *types.VirtualDisk, store *simulator.Datastore, target string,
	locator *types.VirtualMachineRelocateSpecDiskLocator) types.BaseMethodFault {
	from, fault := m.diskPath(device)
	if fault != nil {
		return fault
	}
	if locator != nil {
		renewed := *device
		renew(&renewed, locator)
		flat := renewed.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if old, ok := device.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
			old.ThinProvisioned, old.EagerlyScrub = flat.ThinProvisioned, flat.EagerlyScrub
		}
	}
	to := filepath.Join(target, filepath.Base(from))
	if err := disk.Copy(context.Background(), from, to, provisionOf(device), ""); err != nil {
		return fileFault(nameOf(device), err)
	}
	info := device.Backing.(types.BaseVirtualDeviceFileBackingInfo).GetVirtualDeviceFileBackingInfo()
	info.FileName = "[" + store.Name + "] " + filepath.Join(filepath.Base(target), filepath.Base(to))
	info.Datastore = &store.Self
	return nil
}

// moveHome moves the other files, deletes the original disks, and changes the configuration to the new place.
func (m *machine) moveHome(ctx *simulator.Context, home, target string, store *simulator.Datastore, devices []types.BaseVirtualDevice) types.BaseMethodFault {
	for _, path := range m.diskFiles() {
		if err := disk.Delete(path); err != nil {
			return fileFault(filepath.Base(path), err)
		}
	}
	entries, err := os.ReadDir(home)
	if err != nil {
		return fileFault(m.Config.Files.LogDirectory, err)
	}
	for _, entry := range entries {
		if err := copyFile(filepath.Join(home, entry.Name()), filepath.Join(target, entry.Name())); err != nil {
			return fileFault(entry.Name(), err)
		}
	}
	if err := os.RemoveAll(home); err != nil {
		return fileFault(m.Config.Files.LogDirectory, err)
	}
	registry := m.vcenter.registry()
	for _, ref := range m.Datastore {
		if old, ok := registry.Get(ref).(*simulator.Datastore); ok {
			registry.RemoveReference(ctx, old, &old.Vm, m.Self)
		}
	}
	registry.AddReference(ctx, store, &store.Vm, m.Self)
	folder := "[" + store.Name + "] " + filepath.Base(target)
	vmx := folder + "/" + filepath.Base(m.Config.Files.VmPathName)
	m.vcenter.update(ctx, m.VirtualMachine, func() []types.PropertyChange {
		files := m.Config.Files
		files.VmPathName, files.LogDirectory, files.SnapshotDirectory, files.SuspendDirectory = vmx, folder, folder, folder
		return []types.PropertyChange{
			{Name: "config.files", Val: files}, {Name: "summary.config.vmPathName", Val: vmx},
			{Name: "config.hardware.device", Val: devices}, {Name: "datastore", Val: []types.ManagedObjectReference{store.Self}},
		}
	})
	return nil
}
