package main

import (
	"context"
	"os"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/disk"
)

// diskManager is VirtualDiskManager with real disks.
type diskManager struct {
	*simulator.VirtualDiskManager
	vcenter *vcenter
}

// run is a task whose entity is the datacenter: VirtualDiskManager itself is no managed entity.
func (d *diskManager) run(ctx *simulator.Context, datacenter *types.ManagedObjectReference, name string, work func() types.BaseMethodFault) types.ManagedObjectReference {
	return d.vcenter.task(ctx, d.vcenter.datacenterOf(datacenter), name, func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return nil, work()
	})
}

// CreateVirtualDiskTask makes an empty disk.
func (d *diskManager) CreateVirtualDiskTask(ctx *simulator.Context, req *types.CreateVirtualDisk_Task) soap.HasFault {
	task := d.run(ctx, req.Datacenter, "CreateVirtualDisk_Task", func() types.BaseMethodFault {
		path, store, fault := d.vcenter.find(req.Datacenter, req.Name)
		if fault != nil {
			return fault
		}
		backed, ok := req.Spec.(types.BaseFileBackedVirtualDiskSpec)
		if !ok {
			return &types.InvalidArgument{InvalidProperty: "spec"}
		}
		spec := backed.GetFileBackedVirtualDiskSpec()
		capacity, provision := spec.CapacityKb<<10, disk.Provision(spec.DiskType)
		if capacity <= 0 {
			return &types.InvalidArgument{InvalidProperty: "spec.capacityKb"}
		}
		if provision != disk.Thin && provision != disk.SparseMonolithic && capacity > store.Summary.FreeSpace {
			return noSpace(req.Name, store)
		}
		if err := disk.Create(path, capacity, provision, descriptorAdapter(spec.AdapterType)); err != nil {
			return fileFault(req.Name, err)
		}
		return nil
	})
	return &methods.CreateVirtualDisk_TaskBody{Res: &types.CreateVirtualDisk_TaskResponse{Returnval: task}}
}

// CopyVirtualDiskTask copies a disk's bytes into the form that the destination's spec asks for.
func (d *diskManager) CopyVirtualDiskTask(ctx *simulator.Context, req *types.CopyVirtualDisk_Task) soap.HasFault {
	task := d.run(ctx, req.SourceDatacenter, "CopyVirtualDisk_Task", func() types.BaseMethodFault {
		return d.copy(req)
	})
	return &methods.CopyVirtualDisk_TaskBody{Res: &types.CopyVirtualDisk_TaskResponse{Returnval: task}}
}

func (d *diskManager) copy(req *types.CopyVirtualDisk_Task) types.BaseMethodFault {
	source, target, store, fault := d.pair(req.SourceDatacenter, req.SourceName, req.DestDatacenter, req.DestName, req.Force)
	if fault != nil {
		return fault
	}
	found, err := disk.Read(source)
	if err != nil {
		return fileFault(req.SourceName, err)
	}
	provision, adapter := disk.Preallocated, ""
	if found.Thin() {
		provision = disk.Thin
	}
	if req.DestSpec != nil {
		spec := req.DestSpec.GetVirtualDiskSpec()
		if spec.DiskType != "" {
			provision = disk.Provision(spec.DiskType)
		}
		adapter = descriptorAdapter(spec.AdapterType)
	}
	if provision != disk.Thin && provision != disk.SparseMonolithic && found.Capacity() > store.Summary.FreeSpace {
		return noSpace(req.DestName, store)
	}
	if err := disk.Copy(context.Background(), source, target, provision, adapter); err != nil {
		return fileFault(req.DestName, err)
	}
	return nil
}

// pair finds source and target, whose folder must exist; an existing target is in the way unless forced.
func (d *diskManager) pair(sourceDC *types.ManagedObjectReference, sourceName string, targetDC *types.ManagedObjectReference,
	targetName string, force *bool) (source, target string, store *simulator.Datastore, fault types.BaseMethodFault) {
	if targetDC == nil {
		targetDC = sourceDC
	}
	if source, _, fault = d.vcenter.find(sourceDC, sourceName); fault != nil {
		return
	}
	if target, store, fault = d.vcenter.find(targetDC, targetName); fault != nil {
		return
	}
	if _, err := os.Stat(target); err == nil {
		if force == nil || !*force {
			fault = fileFault(targetName, os.ErrExist)
			return
		}
		if err := disk.Delete(target); err != nil {
			fault = fileFault(targetName, err)
		}
	}
	return
}

// MoveVirtualDiskTask renames a disk, or copies it where the target is another datastore.
func (d *diskManager) MoveVirtualDiskTask(ctx *simulator.Context, req *types.MoveVirtualDisk_Task) soap.HasFault {
	task := d.run(ctx, req.SourceDatacenter, "MoveVirtualDisk_Task", func() types.BaseMethodFault {
		source, target, _, fault := d.pair(req.SourceDatacenter, req.SourceName, req.DestDatacenter, req.DestName, req.Force)
		if fault != nil {
			return fault
		}
		if err := disk.Move(source, target); err != nil {
			return fileFault(req.SourceName, err)
		}
		return nil
	})
	return &methods.MoveVirtualDisk_TaskBody{Res: &types.MoveVirtualDisk_TaskResponse{Returnval: task}}
}

// DeleteVirtualDiskTask removes a disk with its extents.
func (d *diskManager) DeleteVirtualDiskTask(ctx *simulator.Context, req *types.DeleteVirtualDisk_Task) soap.HasFault {
	task := d.run(ctx, req.Datacenter, "DeleteVirtualDisk_Task", func() types.BaseMethodFault {
		return d.change(req.Datacenter, req.Name, disk.Delete)
	})
	return &methods.DeleteVirtualDisk_TaskBody{Res: &types.DeleteVirtualDisk_TaskResponse{Returnval: task}}
}

// ExtendVirtualDiskTask makes a disk larger.
func (d *diskManager) ExtendVirtualDiskTask(ctx *simulator.Context, req *types.ExtendVirtualDisk_Task) soap.HasFault {
	task := d.run(ctx, req.Datacenter, "ExtendVirtualDisk_Task", func() types.BaseMethodFault {
		return d.change(req.Datacenter, req.Name, func(path string) error { return disk.Extend(path, req.NewCapacityKb<<10) })
	})
	return &methods.ExtendVirtualDisk_TaskBody{Res: &types.ExtendVirtualDisk_TaskResponse{Returnval: task}}
}

// InflateVirtualDiskTask turns a thin disk into a thick one.
func (d *diskManager) InflateVirtualDiskTask(ctx *simulator.Context, req *types.InflateVirtualDisk_Task) soap.HasFault {
	task := d.run(ctx, req.Datacenter, "InflateVirtualDisk_Task", func() types.BaseMethodFault {
		return d.change(req.Datacenter, req.Name, disk.Inflate)
	})
	return &methods.InflateVirtualDisk_TaskBody{Res: &types.InflateVirtualDisk_TaskResponse{Returnval: task}}
}

func (d *diskManager) change(datacenter *types.ManagedObjectReference, name string, how func(path string) error) types.BaseMethodFault {
	path, _, fault := d.vcenter.find(datacenter, name)
	if fault != nil {
		return fault
	}
	if err := how(path); err != nil {
		return fileFault(name, err)
	}
	return nil
}

func noSpace(name string, store *simulator.Datastore) types.BaseMethodFault {
	return &types.NoDiskSpace{FileFault: types.FileFault{File: name}, Datastore: store.Name}
}

// descriptorAdapter turns VirtualDiskAdapterType's values ("lsiLogic") into the descriptor's ("lsilogic").
func descriptorAdapter(name string) string {
	switch name {
	case string(types.VirtualDiskAdapterTypeIde):
		return "ide"
	case string(types.VirtualDiskAdapterTypeBusLogic):
		return "buslogic"
	case string(types.VirtualDiskAdapterTypeLsiLogic):
		return "lsilogic"
	}
	return ""
}

// datacenterOf is the datacenter given, or the only one of an ESXi host.
func (v *vcenter) datacenterOf(given *types.ManagedObjectReference) types.ManagedObjectReference {
	if given != nil {
		return *given
	}
	if any := v.registry().Any("Datacenter"); any != nil {
		return any.Reference()
	}
	return v.service.Context.Map.Any("Folder").Reference()
}

// find resolves a datastore path in a datacenter, which may be left out on an ESXi host only.
func (v *vcenter) find(datacenter *types.ManagedObjectReference, path string) (string, *simulator.Datastore, types.BaseMethodFault) {
	if datacenter == nil && !v.options.ESX {
		return "", nil, &types.InvalidArgument{InvalidProperty: "datacenter"}
	}
	var parsed object.DatastorePath
	if !parsed.FromString(path) || parsed.Path == "" {
		return "", nil, &types.InvalidDatastorePath{DatastorePath: path}
	}
	dc, ok := v.registry().Get(v.datacenterOf(datacenter)).(*simulator.Datacenter)
	if !ok {
		return "", nil, &types.ManagedObjectNotFound{Obj: v.datacenterOf(datacenter)}
	}
	store, ok := v.registry().FindByName(parsed.Datastore, dc.Datastore).(*simulator.Datastore)
	if !ok {
		return "", nil, &types.InvalidDatastore{Name: parsed.Datastore}
	}
	file, fault := within(store.Summary.Url, parsed.Path, path)
	return file, store, fault
}
