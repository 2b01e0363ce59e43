package main

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// networkOf returns the part of an object that all networks have: a standard port group, or one of a distributed switch.
func networkOf(obj mo.Reference) *mo.Network {
	switch found := obj.(type) {
	case *mo.Network:
		return found
	case *simulator.DistributedVirtualPortgroup:
		return &found.Network
	}
	return nil
}

// connect lists a VM among those of its networks, and of no others. The simulator leaves Network.vm empty.
func (v *vcenter) connect(ctx *simulator.Context, vm types.ManagedObjectReference, networks []types.ManagedObjectReference) {
	for _, kind := range []string{"Network", "DistributedVirtualPortgroup"} {
		for _, obj := range v.registry().All(kind) {
			network := networkOf(obj)
			if network == nil {
				continue
			}
			ctx.WithLock(obj, func() {
				network.Vm = slices.DeleteFunc(slices.Clone(network.Vm), func(ref types.ManagedObjectReference) bool { return ref == vm })
				if slices.Contains(networks, obj.Reference()) {
					network.Vm = append(network.Vm, vm)
				}
			})
		}
	}
}

// inUse is the fault for a network that VMs use, or nil.
func inUse(network *mo.Network) types.BaseMethodFault {
	if len(network.Vm) == 0 {
		return nil
	}
	fault := &types.ResourceInUse{Type: network.Self.Type, Name: network.Name}
	fault.MethodFault = said("The resource '" + network.Name + "' is in use.")
	return fault
}

// show lists a network among those of a host and of its cluster, or takes it out there.
func (v *vcenter) showNetwork(ctx *simulator.Context, host *simulator.HostSystem, network types.ManagedObjectReference, there bool) {
	change := func(of mo.Reference, field *[]types.ManagedObjectReference) {
		ctx.WithLock(of, func() {
			refs := slices.DeleteFunc(slices.Clone(*field), func(ref types.ManagedObjectReference) bool { return ref == network })
			if there {
				refs = append(refs, network)
			}
			ctx.Update(of, []types.PropertyChange{{Name: "network", Val: refs}})
		})
	}
	change(host, &host.Network)
	switch parent := v.registry().Get(*host.Parent).(type) {
	case *simulator.ClusterComputeResource:
		change(parent, &parent.Network)
	case *mo.ComputeResource:
		change(parent, &parent.Network)
	}
}
