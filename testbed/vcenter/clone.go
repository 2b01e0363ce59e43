package main

import (
	"context"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/disk"
)

// CloneVMTask makes a VM with the same hardware and a copy of the disks' bytes, then reconfigures it as the spec says.
func (m *machine) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "CloneVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		clone, fault := m.clone(ctx, req)
		if fault != nil {
			return nil, fault
		}
		return clone.Self, nil
	})
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: task}}
}

func (m *machine) clone(ctx *simulator.Context, req *types.CloneVM_Task) (*machine, types.BaseMethodFault) {
	into, ok := m.vcenter.registry().Get(req.Folder).(*simulator.Folder)
	if !ok {
		return nil, &types.InvalidArgument{InvalidProperty: "folder"}
	}
	create, fault := m.cloneSpec(req)
	if fault != nil {
		return nil, fault
	}
	clone, fault := (&folder{into, m.vcenter}).create(ctx, create)
	if fault != nil {
		return nil, fault
	}
	if fault := m.fill(ctx, clone, req); fault != nil {
		clone.destroy(ctx)
		return nil, fault
	}
	return clone, nil
}

// fill does all that follows the making of the clone.
func (m *machine) fill(ctx *simulator.Context, clone *machine, req *types.CloneVM_Task) types.BaseMethodFault {
	if fault := m.copyDisks(clone); fault != nil {
		return fault
	}
	changes := []types.VirtualMachineConfigSpec{{DeviceChange: req.Spec.Location.DeviceChange}}
	if req.Spec.Config != nil {
		changes = append(changes, *req.Spec.Config)
	}
	for _, change := range changes {
		if fault := clone.reconfigure(ctx, &types.ReconfigVM_Task{This: clone.Self, Spec: change}); fault != nil {
			return fault
		}
	}
	clone.complete(ctx)
	m.vcenter.store.settle(clone.Self)
	switch {
	case req.Spec.Template:
		clone.MarkAsTemplate(&types.MarkAsTemplate{This: clone.Self})
	case req.Spec.PowerOn:
		return clone.powerOn(ctx)
	}
	return nil
}

// cloneSpec is what the clone is created from: this VM's hardware, with new disks of the same sizes.
func (m *machine) cloneSpec(req *types.CloneVM_Task) (*types.CreateVM_Task, types.BaseMethodFault) {
	where := req.Spec.Location
	if where.Pool == nil {
		if m.Config.Template {
			return nil, &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
		}
		where.Pool = m.ResourcePool
	}
	store, fault := m.storeName(where.Datastore)
	if fault != nil {
		return nil, fault
	}
	hardware := m.Config.Hardware
	spec := types.VirtualMachineConfigSpec{
		Name: req.Name, Version: m.Config.Version, GuestId: m.Config.GuestId, Annotation: m.Config.Annotation,
		Files:   &types.VirtualMachineFileInfo{VmPathName: "[" + store + "]"},
		NumCPUs: hardware.NumCPU, NumCoresPerSocket: hardware.NumCoresPerSocket, MemoryMB: int64(hardware.MemoryMB),
		Firmware: m.Config.Firmware, BootOptions: m.Config.BootOptions, ExtraConfig: m.Config.ExtraConfig,
	}
	standard := object.VirtualDeviceList(esx.VirtualDevice)
	devices := object.VirtualDeviceList(copyDevices(hardware.Device))
	for _, device := range devices {
		if standard.FindByKey(device.GetVirtualDevice().Key) != nil {
			continue // every VM has them
		}
		change := &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: device}
		switch found := device.(type) {
		case *types.VirtualDisk:
			renew(found, locatorOf(found.Key, &where))
			change.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
		case types.BaseVirtualEthernetCard:
			if card := found.GetVirtualEthernetCard(); card.AddressType != string(types.VirtualEthernetCardMacTypeManual) {
				card.MacAddress = ""
			}
		}
		spec.DeviceChange = append(spec.DeviceChange, change)
	}
	return &types.CreateVM_Task{This: req.Folder, Config: spec, Pool: *where.Pool, Host: where.Host}, nil
}

// renew takes from a copied disk what belongs to the original alone, and applies the form that the locator asks for.
func renew(device *types.VirtualDisk, locator *types.VirtualMachineRelocateSpecDiskLocator) {
	flat := &types.VirtualDiskFlatVer2BackingInfo{DiskMode: string(types.VirtualDiskModePersistent), ThinProvisioned: types.NewBool(true)}
	if old, ok := device.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
		flat.DiskMode, flat.ThinProvisioned, flat.EagerlyScrub = old.DiskMode, old.ThinProvisioned, old.EagerlyScrub
	}
	if locator != nil {
		if wanted, ok := locator.DiskBackingInfo.(*types.VirtualDiskFlatVer2BackingInfo); ok {
			flat.ThinProvisioned, flat.EagerlyScrub = wanted.ThinProvisioned, wanted.EagerlyScrub
		}
	}
	device.Backing = flat
}

func locatorOf(key int32, where *types.VirtualMachineRelocateSpec) *types.VirtualMachineRelocateSpecDiskLocator {
	for i := range where.Disk {
		if where.Disk[i].DiskId == key {
			return &where.Disk[i]
		}
	}
	return nil
}

// storeName is the name of the datastore asked for, or of the one that this VM is on.
func (m *machine) storeName(wanted *types.ManagedObjectReference) (string, types.BaseMethodFault) {
	if wanted == nil {
		var parsed object.DatastorePath
		parsed.FromString(m.Config.Files.VmPathName)
		return parsed.Datastore, nil
	}
	if store, ok := m.vcenter.registry().Get(*wanted).(*simulator.Datastore); ok {
		return store.Name, nil
	}
	return "", &types.InvalidArgument{InvalidProperty: "spec.location.datastore"}
}

// copyDisks gives the clone's disks, which are in the order of this VM's, the same bytes.
func (m *machine) copyDisks(clone *machine) types.BaseMethodFault {
	targets := clone.disks()
	for i, source := range m.disks() {
		from, fault := m.diskPath(source)
		if fault != nil {
			return fault
		}
		to, fault := clone.diskPath(targets[i])
		if fault != nil {
			return fault
		}
		if err := disk.Delete(to); err != nil {
			return fileFault(nameOf(targets[i]), err)
		}
		if err := disk.Copy(context.Background(), from, to, provisionOf(targets[i]), ""); err != nil {
			return fileFault(nameOf(source), err)
		}
	}
	return nil
}
