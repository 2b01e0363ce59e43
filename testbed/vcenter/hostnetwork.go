package main

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// hostNetwork is the network configuration of a host: its standard switches and their port groups.
type hostNetwork struct {
	*simulator.HostNetworkSystem
	vcenter *vcenter
}

// refused is what a call ends with at once: none of these is a task.
func refused(fault types.BaseMethodFault) *soap.Fault { return simulator.Fault(sentence(fault), fault) }

// AddPortGroup makes a port group, and the network that stands for it.
func (n *hostNetwork) AddPortGroup(ctx *simulator.Context, req *types.AddPortGroup) soap.HasFault {
	body := &methods.AddPortGroupBody{}
	switch {
	case n.portGroup(req.Portgrp.Name) != nil:
		body.Fault_ = refused(&types.AlreadyExists{Name: req.Portgrp.Name})
		return body
	case req.Portgrp.Name == "" || len(req.Portgrp.Name) > maxNetworkName:
		body.Fault_ = refused(&types.InvalidArgument{InvalidProperty: "portgrp.name"})
		return body
	case req.Portgrp.VlanId < 0 || req.Portgrp.VlanId > maxVLAN+1: // 4095 hands on all tags
		body.Fault_ = refused(&types.InvalidArgument{InvalidProperty: "portgrp.vlanId"})
		return body
	}
	made := n.HostNetworkSystem.AddPortGroup(ctx, req).(*methods.AddPortGroupBody)
	if made.Fault() != nil {
		return made
	}
	if network := n.network(req.Portgrp.Name); network != nil {
		ctx.WithLock(network, func() { network.Host = []types.ManagedObjectReference{n.Host.Self} })
		n.vcenter.showNetwork(ctx, n.host(), network.Self, true)
		n.vcenter.store.mark(network.Self)
	}
	n.vcenter.store.mark(n.Self)
	return made
}

// UpdatePortGroup changes a port group, which the simulator cannot.
func (n *hostNetwork) UpdatePortGroup(ctx *simulator.Context, req *types.UpdatePortGroup) soap.HasFault {
	body := &methods.UpdatePortGroupBody{}
	found := n.portGroup(req.PgName)
	if found == nil {
		body.Fault_ = refused(&types.NotFound{})
		return body
	}
	if req.Portgrp.Name != req.PgName { // vSphere can; nobody has needed it here
		body.Fault_ = refused(&types.NotSupported{})
		return body
	}
	ctx.WithLock(n.HostNetworkSystem, func() { found.Spec = req.Portgrp })
	n.vcenter.store.mark(n.Self)
	if network := n.network(req.PgName); network != nil {
		n.vcenter.reconnect(network)
	}
	body.Res = &types.UpdatePortGroupResponse{}
	return body
}

// RemovePortGroup removes a port group that no VM uses.
func (n *hostNetwork) RemovePortGroup(ctx *simulator.Context, req *types.RemovePortGroup) soap.HasFault {
	body := &methods.RemovePortGroupBody{}
	network := n.network(req.PgName)
	if n.portGroup(req.PgName) == nil || network == nil {
		body.Fault_ = refused(&types.NotFound{})
		return body
	}
	if fault := inUse(network); fault != nil {
		body.Fault_ = refused(fault)
		return body
	}
	n.vcenter.showNetwork(ctx, n.host(), network.Self, false)
	removed := n.HostNetworkSystem.RemovePortGroup(ctx, req)
	n.vcenter.store.mark(n.Self)
	return removed
}

func (n *hostNetwork) portGroup(name string) *types.HostPortGroup {
	groups := n.NetworkInfo.Portgroup
	at := slices.IndexFunc(groups, func(group types.HostPortGroup) bool { return group.Spec.Name == name })
	if at < 0 {
		return nil
	}
	return &groups[at]
}

func (n *hostNetwork) host() *simulator.HostSystem {
	return n.vcenter.registry().Get(n.Host.Self).(*simulator.HostSystem)
}

// network is the object that stands for a port group in the inventory.
func (n *hostNetwork) network(name string) *mo.Network {
	found, _ := n.vcenter.network(n.host(), name).(*mo.Network)
	return found
}
