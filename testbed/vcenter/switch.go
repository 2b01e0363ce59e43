package main

import (
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	maxVLAN          = 4094
	maxNetworkName   = 80
	firstConfig      = "0"
	anotherBeginning = "The port group was changed meanwhile: its configVersion is another."
)

// distributedSwitch is one whose new port groups are checked first, as vCenter does, and kept.
type distributedSwitch struct {
	*simulator.DistributedVirtualSwitch
	vcenter *vcenter
}

// AddDVPortgroupTask makes port groups.
func (s *distributedSwitch) AddDVPortgroupTask(ctx *simulator.Context, req *types.AddDVPortgroup_Task) soap.HasFault {
	task := s.vcenter.task(ctx, s.Self, "AddDVPortgroup_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		for i := range req.Spec {
			spec := &req.Spec[i]
			spec.Name = escape(spec.Name)
			if spec.Name == "" || len(spec.Name) > maxNetworkName {
				return nil, &types.InvalidArgument{InvalidProperty: "spec.name"}
			}
			if fault := checkPortSetting(spec.DefaultPortConfig); fault != nil {
				return nil, fault
			}
			spec.ConfigVersion = firstConfig
		}
		body := s.DistributedVirtualSwitch.AddDVPortgroupTask(ctx, req).(*methods.AddDVPortgroup_TaskBody)
		if body.Fault() != nil {
			return nil, body.Fault().VimFault().(types.BaseMethodFault)
		}
		_, fault := s.vcenter.await(body.Res.Returnval)
		for _, ref := range s.Portgroup {
			s.vcenter.store.mark(ref)
		}
		return nil, fault
	})
	return &methods.AddDVPortgroup_TaskBody{Res: &types.AddDVPortgroup_TaskResponse{Returnval: task}}
}

// checkPortSetting refuses VLANs that there are not.
func checkPortSetting(setting types.BaseDVPortSetting) types.BaseMethodFault {
	found, ok := setting.(*types.VMwareDVSPortSetting)
	if !ok {
		return nil
	}
	if vlan, ok := found.Vlan.(*types.VmwareDistributedVirtualSwitchVlanIdSpec); ok && (vlan.VlanId < 0 || vlan.VlanId > maxVLAN) {
		return &types.InvalidArgument{InvalidProperty: "spec.defaultPortConfig.vlan.vlanId"}
	}
	return nil
}

// portgroup is one that is changed in part, and not removed while it is in use.
type portgroup struct {
	*simulator.DistributedVirtualPortgroup
	vcenter *vcenter
}

// ReconfigureDVPortgroupTask changes what the spec says, and leaves the rest: the simulator replaces all of it.
func (p *portgroup) ReconfigureDVPortgroupTask(ctx *simulator.Context, req *types.ReconfigureDVPortgroup_Task) soap.HasFault {
	task := p.vcenter.task(ctx, p.Self, "ReconfigureDVPortgroup_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		spec, config := req.Spec, p.Config
		if spec.ConfigVersion != "" && spec.ConfigVersion != config.ConfigVersion {
			return nil, &types.ConcurrentAccess{VimFault: types.VimFault{MethodFault: said(anotherBeginning)}}
		}
		if fault := checkPortSetting(spec.DefaultPortConfig); fault != nil {
			return nil, fault
		}
		if spec.DefaultPortConfig != nil {
			config.DefaultPortConfig = mergePortSetting(config.DefaultPortConfig, spec.DefaultPortConfig)
		}
		if spec.Description != "" {
			config.Description = spec.Description
		}
		if spec.Policy != nil {
			config.Policy = spec.Policy
		}
		if spec.AutoExpand != nil {
			config.AutoExpand = spec.AutoExpand
		}
		if spec.NumPorts != 0 {
			config.NumPorts = spec.NumPorts
		}
		number, _ := strconv.Atoi(config.ConfigVersion)
		config.ConfigVersion = strconv.Itoa(number + 1)
		p.vcenter.update(ctx, p.DistributedVirtualPortgroup, func() []types.PropertyChange {
			return []types.PropertyChange{{Name: "config", Val: config}}
		})
		p.vcenter.reconnect(&p.Network)
		return nil, nil
	})
	return &methods.ReconfigureDVPortgroup_TaskBody{Res: &types.ReconfigureDVPortgroup_TaskResponse{Returnval: task}}
}

// mergePortSetting takes from the new setting the policies that it has, and the rest from the old one.
func mergePortSetting(old, fresh types.BaseDVPortSetting) types.BaseDVPortSetting {
	was, ok := old.(*types.VMwareDVSPortSetting)
	now, same := fresh.(*types.VMwareDVSPortSetting)
	if !ok || !same {
		return fresh
	}
	merged := *was
	if now.Vlan != nil {
		merged.Vlan = now.Vlan
	}
	if now.SecurityPolicy != nil {
		merged.SecurityPolicy = now.SecurityPolicy
	}
	if now.UplinkTeamingPolicy != nil {
		merged.UplinkTeamingPolicy = now.UplinkTeamingPolicy
	}
	if now.FilterPolicy != nil {
		merged.FilterPolicy = now.FilterPolicy
	}
	if now.Blocked != nil {
		merged.Blocked = now.Blocked
	}
	return &merged
}

// DestroyTask removes the port group from its switch, from the hosts and from the inventory.
func (p *portgroup) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	task := p.vcenter.task(ctx, p.Self, "Destroy_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if p.vcenter.registry().Get(p.Self) == nil {
			return nil, &types.ManagedObjectNotFound{Obj: p.Self}
		}
		if fault := inUse(&p.Network); fault != nil {
			return nil, fault
		}
		for _, host := range p.vcenter.membersOf(p.DistributedVirtualPortgroup) {
			p.vcenter.showNetwork(ctx, host, p.Self, false)
		}
		body := p.DistributedVirtualPortgroup.DestroyTask(ctx, req).(*methods.Destroy_TaskBody)
		return p.vcenter.await(body.Res.Returnval)
	})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task}}
}

// switchOf is the switch that a port group belongs to, or nil.
func (v *vcenter) switchOf(group *simulator.DistributedVirtualPortgroup) *simulator.DistributedVirtualSwitch {
	if group.Config.DistributedVirtualSwitch == nil {
		return nil
	}
	found, _ := v.registry().Get(*group.Config.DistributedVirtualSwitch).(*simulator.DistributedVirtualSwitch)
	return found
}

// membersOf lists the hosts that are joined to a port group's switch.
func (v *vcenter) membersOf(group *simulator.DistributedVirtualPortgroup) []*simulator.HostSystem {
	dvs := v.switchOf(group)
	if dvs == nil {
		return nil
	}
	var hosts []*simulator.HostSystem
	for _, ref := range dvs.Summary.HostMember {
		if host, ok := v.registry().Get(ref).(*simulator.HostSystem); ok {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
