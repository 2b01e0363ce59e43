package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// checkDevices refuses datastores, files and networks that are not there. The simulator would end the process over some.
func (v *vcenter) checkDevices(host *simulator.HostSystem, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	for _, change := range spec.DeviceChange {
		device := change.GetVirtualDeviceConfigSpec()
		if device.Device == nil {
			return &types.InvalidVmConfig{Property: "configSpec.deviceChange.device"}
		}
		if device.Operation == types.VirtualDeviceConfigSpecOperationRemove {
			continue
		}
		if fault := v.checkDevice(host, spec, device); fault != nil {
			return fault
		}
	}
	return nil
}

func (v *vcenter) checkDevice(host *simulator.HostSystem, spec *types.VirtualMachineConfigSpec, change *types.VirtualDeviceConfigSpec) types.BaseMethodFault {
	switch device := change.Device.(type) {
	case *types.VirtualDisk:
		return v.checkDisk(host, spec, change, device)
	case types.BaseVirtualEthernetCard:
		return v.checkNetwork(host, device.GetVirtualEthernetCard())
	}
	backing, ok := change.Device.GetVirtualDevice().Backing.(types.BaseVirtualDeviceFileBackingInfo)
	if !ok || backing.GetVirtualDeviceFileBackingInfo().FileName == "" {
		return nil
	}
	_, fault := v.file(host, backing.GetVirtualDeviceFileBackingInfo().FileName)
	return fault
}

func (v *vcenter) checkDisk(host *simulator.HostSystem, spec *types.VirtualMachineConfigSpec, change *types.VirtualDeviceConfigSpec, disk *types.VirtualDisk) types.BaseMethodFault {
	backing, ok := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo)
	if !ok {
		return &types.InvalidVmConfig{Property: "configSpec.deviceChange.device.backing"}
	}
	info := backing.GetVirtualDeviceFileBackingInfo()
	if info.FileName == "" {
		return v.checkSpace(host, spec, change, disk, info)
	}
	path, fault := v.file(host, info.FileName)
	if fault != nil {
		return fault
	}
	if change.FileOperation == "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fileFault(info.FileName, err)
		}
		return nil
	}
	return v.checkSpace(host, spec, change, disk, info)
}

// checkSpace refuses a new thick disk for which the datastore has no room.
func (v *vcenter) checkSpace(host *simulator.HostSystem, spec *types.VirtualMachineConfigSpec, change *types.VirtualDeviceConfigSpec,
	disk *types.VirtualDisk, info *types.VirtualDeviceFileBackingInfo) types.BaseMethodFault {
	flat, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	if !ok || change.FileOperation == "" || (flat.ThinProvisioned != nil && *flat.ThinProvisioned) {
		return nil
	}
	name := info.FileName
	if name == "" && spec.Files != nil {
		name = spec.Files.VmPathName
	}
	store := v.datastoreOf(host, name)
	if store == nil {
		return nil
	}
	if size := max(disk.CapacityInBytes, disk.CapacityInKB<<10); size > store.Summary.FreeSpace {
		return &types.NoDiskSpace{FileFault: types.FileFault{File: name}, Datastore: store.Name}
	}
	return nil
}

// checkNetwork looks for the network among those of the host.
func (v *vcenter) checkNetwork(host *simulator.HostSystem, card *types.VirtualEthernetCard) types.BaseMethodFault {
	missing := func(name string) types.BaseMethodFault {
		fault := &types.InvalidDeviceBacking{}
		fault.Property = "virtualDeviceSpec.device.backing"
		fault.MethodFault = said("the network " + name + " is not on the host " + host.Name)
		return fault
	}
	switch backing := card.Backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		if v.network(host, backing.DeviceName) == nil {
			return missing(backing.DeviceName)
		}
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		ref := types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: backing.Port.PortgroupKey}
		group, ok := v.registry().Get(ref).(*simulator.DistributedVirtualPortgroup)
		if !ok || group.Config.DistributedVirtualSwitch == nil {
			return missing(backing.Port.PortgroupKey)
		}
		dvs, ok := v.registry().Get(*group.Config.DistributedVirtualSwitch).(*simulator.DistributedVirtualSwitch)
		if !ok || dvs.Uuid != backing.Port.SwitchUuid {
			return missing(backing.Port.SwitchUuid)
		}
	}
	return nil
}

// network finds a standard network by the name that the simulator will look for, in the host's datacenter.
func (v *vcenter) network(host *simulator.HostSystem, name string) mo.Entity {
	datacenter := v.datacenterAbove(host.Parent)
	if datacenter == nil {
		return nil
	}
	return v.registry().FindByName(name, datacenter.Network)
}

// datacenterAbove goes up the inventory to the datacenter, or returns nil.
func (v *vcenter) datacenterAbove(parent *types.ManagedObjectReference) *simulator.Datacenter {
	for parent != nil {
		entity, ok := v.registry().Get(*parent).(mo.Entity)
		if !ok {
			return nil
		}
		if datacenter, ok := entity.(*simulator.Datacenter); ok {
			return datacenter
		}
		parent = entity.Entity().Parent
	}
	return nil
}
