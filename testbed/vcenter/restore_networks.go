package main

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// restorePortgroup brings back a port group of a distributed switch, or the settings of one that the options make.
func (v *vcenter) restorePortgroup(content types.ObjectContent) error {
	kept := &simulator.DistributedVirtualPortgroup{}
	if err := mo.LoadObjectContent([]types.ObjectContent{content}, &kept.DistributedVirtualPortgroup); err != nil {
		return err
	}
	if found, ok := v.registry().Get(content.Obj).(*simulator.DistributedVirtualPortgroup); ok {
		found.Config = kept.Config
		return nil
	}
	dvs := v.switchOf(kept)
	if dvs == nil {
		return nil // it was being made
	}
	kept.Vm, kept.RecentTask = nil, nil
	v.registry().Put(kept)
	ctx := v.context()
	v.registry().AddReference(ctx, dvs, &dvs.Portgroup, kept.Self)
	dvs.Summary.PortgroupName = append(dvs.Summary.PortgroupName, kept.Name)
	v.listNetwork(ctx, kept.Parent, kept.Self)
	for _, host := range v.membersOf(kept) {
		v.showNetwork(ctx, host, kept.Self, true)
	}
	return nil
}

// restoreNetwork brings back the object of a standard port group.
func (v *vcenter) restoreNetwork(content types.ObjectContent) error {
	if v.registry().Get(content.Obj) != nil {
		return nil
	}
	kept := &mo.Network{}
	if err := mo.LoadObjectContent([]types.ObjectContent{content}, kept); err != nil {
		return err
	}
	kept.Vm = nil
	v.registry().Put(kept)
	ctx := v.context()
	v.listNetwork(ctx, kept.Parent, kept.Self)
	for _, ref := range kept.Host {
		if host, ok := v.registry().Get(ref).(*simulator.HostSystem); ok {
			v.showNetwork(ctx, host, kept.Self, true)
		}
	}
	return nil
}

// restoreHostNetwork brings back the standard switches of a host with their port groups.
func (v *vcenter) restoreHostNetwork(content types.ObjectContent) error {
	found, ok := v.registry().Get(content.Obj).(*simulator.HostNetworkSystem)
	if !ok {
		return nil
	}
	var kept mo.HostNetworkSystem
	if err := mo.LoadObjectContent([]types.ObjectContent{content}, &kept); err != nil {
		return err
	}
	if kept.NetworkInfo != nil {
		found.NetworkInfo = kept.NetworkInfo
	}
	return nil
}

// listNetwork lists a network among the children of its folder, and among the networks of the datacenter.
func (v *vcenter) listNetwork(ctx *simulator.Context, parent *types.ManagedObjectReference, network types.ManagedObjectReference) {
	if parent == nil {
		return
	}
	if folder, ok := v.registry().Get(*parent).(*simulator.Folder); ok {
		v.registry().AddReference(ctx, folder, &folder.ChildEntity, network)
	}
	if datacenter := v.datacenterAbove(parent); datacenter != nil && !slices.Contains(datacenter.Network, network) {
		v.registry().AddReference(ctx, datacenter, &datacenter.Network, network)
	}
}
