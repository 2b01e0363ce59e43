package main

import (
	"slices"
	"strconv"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ports are what distributed ports have of their own: the settings that clients gave them, and the numbers that are taken.
type ports struct {
	mutex   sync.Mutex
	highest int
	own     map[string]portSetting // by switch and port key
}

type portSetting struct {
	setting types.BaseDVPortSetting
	version int
}

func portName(dvs, key string) string { return dvs + "/" + key }

// cards lists a VM's adapters that are on distributed switches.
func (m *machine) cards() []*types.VirtualEthernetCardDistributedVirtualPortBackingInfo {
	var found []*types.VirtualEthernetCardDistributedVirtualPortBackingInfo
	for _, device := range m.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			if backing, ok := card.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo); ok {
				found = append(found, backing)
			}
		}
	}
	return found
}

// bindPorts gives each adapter on a distributed switch a port, as static binding does when the adapter is made. A port that an
// adapter has left forgets its own settings (portConfigResetAtDisconnect).
func (m *machine) bindPorts(ctx *simulator.Context, before []string) {
	v := m.vcenter
	v.ports.mutex.Lock()
	defer v.ports.mutex.Unlock()
	var bound []string
	ctx.WithLock(m.VirtualMachine, func() {
		for _, backing := range m.cards() {
			if backing.Port.PortKey == "" {
				v.ports.highest++
				backing.Port.PortKey = strconv.Itoa(v.ports.highest)
				backing.Port.ConnectionCookie = int32(v.ports.highest)
			}
			bound = append(bound, portName(backing.Port.SwitchUuid, backing.Port.PortKey))
		}
	})
	for _, name := range before {
		if !slices.Contains(bound, name) {
			delete(v.ports.own, name)
		}
	}
}

// boundPorts names the ports that the VM's adapters have.
func (m *machine) boundPorts() []string {
	var bound []string
	for _, backing := range m.cards() {
		if backing.Port.PortKey != "" {
			bound = append(bound, portName(backing.Port.SwitchUuid, backing.Port.PortKey))
		}
	}
	return bound
}

// restorePorts keeps the numbers of a restored VM's ports from being given again.
func (m *machine) restorePorts() {
	for _, backing := range m.cards() {
		if number, err := strconv.Atoi(backing.Port.PortKey); err == nil {
			m.vcenter.ports.highest = max(m.vcenter.ports.highest, number)
		}
	}
}

// FetchDVPorts lists the ports that adapters have; the simulator knows them only by number.
func (s *distributedSwitch) FetchDVPorts(_ *simulator.Context, req *types.FetchDVPorts) soap.HasFault {
	found := []types.DistributedVirtualPort{}
	for _, port := range s.connectedPorts() {
		if matches(port, req.Criteria) {
			found = append(found, port)
		}
	}
	return &methods.FetchDVPortsBody{Res: &types.FetchDVPortsResponse{Returnval: found}}
}

func matches(port types.DistributedVirtualPort, criteria *types.DistributedVirtualSwitchPortCriteria) bool {
	if criteria == nil {
		return true
	}
	if criteria.Connected != nil && !*criteria.Connected {
		return false
	}
	if len(criteria.PortKey) > 0 && !slices.Contains(criteria.PortKey, port.Key) {
		return false
	}
	inside := criteria.Inside == nil || *criteria.Inside
	return len(criteria.PortgroupKey) == 0 || slices.Contains(criteria.PortgroupKey, port.PortgroupKey) == inside
}

func (s *distributedSwitch) connectedPorts() []types.DistributedVirtualPort {
	v := s.vcenter
	v.ports.mutex.Lock()
	defer v.ports.mutex.Unlock()
	var found []types.DistributedVirtualPort
	for _, entity := range v.registry().All("VirtualMachine") {
		vm, ok := entity.(*simulator.VirtualMachine)
		if !ok || vm.Config == nil {
			continue
		}
		for _, backing := range (&machine{vm, v}).cards() {
			if backing.Port.SwitchUuid == s.Uuid && backing.Port.PortKey != "" {
				found = append(found, s.port(vm.Self, backing.Port))
			}
		}
	}
	return found
}

// port shows a port: with settings of its own, and those of its group where it has none.
func (s *distributedSwitch) port(vm types.ManagedObjectReference, at types.DistributedVirtualSwitchPortConnection) types.DistributedVirtualPort {
	var setting types.BaseDVPortSetting
	group, ok := s.vcenter.registry().Get(types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: at.PortgroupKey}).(*simulator.DistributedVirtualPortgroup)
	if ok {
		setting = inherited(group.Config.DefaultPortConfig)
	}
	own := s.vcenter.ports.own[portName(s.Uuid, at.PortKey)]
	if own.setting != nil {
		setting = mergePortSetting(setting, own.setting)
	}
	return types.DistributedVirtualPort{
		Key: at.PortKey, DvsUuid: s.Uuid, PortgroupKey: at.PortgroupKey, ConnectionCookie: at.ConnectionCookie,
		Connectee: &types.DistributedVirtualSwitchPortConnectee{ConnectedEntity: &vm, Type: "vmVnic"},
		Config:    types.DVPortConfigInfo{ConfigVersion: strconv.Itoa(own.version), Setting: setting},
	}
}

// portSetting is what holds at the port that an adapter has, or will have.
func (v *vcenter) portSetting(at types.DistributedVirtualSwitchPortConnection) types.BaseDVPortSetting {
	group, ok := v.registry().Get(types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: at.PortgroupKey}).(*simulator.DistributedVirtualPortgroup)
	if !ok {
		return nil
	}
	v.ports.mutex.Lock()
	defer v.ports.mutex.Unlock()
	if own := v.ports.own[portName(at.SwitchUuid, at.PortKey)]; own.setting != nil {
		return mergePortSetting(group.Config.DefaultPortConfig, own.setting)
	}
	return group.Config.DefaultPortConfig
}

// inherited copies a group's settings as its ports show them: the filter says that it is the group's.
func inherited(of types.BaseDVPortSetting) types.BaseDVPortSetting {
	group, ok := of.(*types.VMwareDVSPortSetting)
	if !ok || group.FilterPolicy == nil {
		return of
	}
	shown, policy := *group, *group.FilterPolicy
	policy.Inherited = true
	shown.FilterPolicy = &policy
	return &shown
}

// ReconfigureDVPortTask gives ports settings of their own, where their group lets them.
func (s *distributedSwitch) ReconfigureDVPortTask(ctx *simulator.Context, req *types.ReconfigureDVPort_Task) soap.HasFault {
	task := s.vcenter.task(ctx, s.Self, "ReconfigureDVPort_Task", func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		known := map[string]types.DistributedVirtualPort{}
		for _, port := range s.connectedPorts() {
			known[port.Key] = port
		}
		for _, spec := range req.Port {
			if fault := s.mayChange(known, spec); fault != nil {
				return nil, fault
			}
		}
		s.vcenter.ports.mutex.Lock()
		var machines []types.ManagedObjectReference
		for _, spec := range req.Port {
			machines = append(machines, *known[spec.Key].Connectee.ConnectedEntity)
			name := portName(s.Uuid, spec.Key)
			own := s.vcenter.ports.own[name]
			if own.setting == nil {
				own.setting = &types.VMwareDVSPortSetting{}
			}
			s.vcenter.ports.own[name] = portSetting{mergePortSetting(own.setting, spec.Setting), own.version + 1}
		}
		s.vcenter.ports.mutex.Unlock()
		s.vcenter.reconnectAll(machines)
		return nil, nil
	})
	return &methods.ReconfigureDVPort_TaskBody{Res: &types.ReconfigureDVPort_TaskResponse{Returnval: task}}
}

func (s *distributedSwitch) mayChange(known map[string]types.DistributedVirtualPort, spec types.DVPortConfigSpec) types.BaseMethodFault {
	port, ok := known[spec.Key]
	switch {
	case spec.Operation != string(types.ConfigSpecOperationEdit):
		return &types.InvalidArgument{InvalidProperty: "port.operation"}
	case !ok:
		return &types.NotFound{}
	case spec.ConfigVersion != "" && spec.ConfigVersion != port.Config.ConfigVersion:
		return &types.ConcurrentAccess{VimFault: types.VimFault{MethodFault: said("The port was changed meanwhile: its configVersion is another.")}}
	}
	group, ok := s.vcenter.registry().Get(types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: port.PortgroupKey}).(*simulator.DistributedVirtualPortgroup)
	setting, same := spec.Setting.(*types.VMwareDVSPortSetting)
	if !ok || !same || setting.FilterPolicy == nil {
		return nil
	}
	policy, ok := group.Config.Policy.(*types.VMwareDVSPortgroupPolicy)
	if !ok || policy.TrafficFilterOverrideAllowed == nil || !*policy.TrafficFilterOverrideAllowed {
		fault := &types.DvsFault{}
		fault.MethodFault = said("The port group " + group.Name + " does not let its ports override the traffic filter.")
		return fault
	}
	return nil
}
