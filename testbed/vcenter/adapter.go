package main

import (
	"log"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/guest"
)

// nicOf translates a network adapter for QEMU.
func (m *machine) nicOf(device types.BaseVirtualEthernetCard) guest.NIC {
	card := device.GetVirtualEthernetCard()
	nic := guest.NIC{Guest: m.Self.Value, Key: card.Key, MAC: card.MacAddress, Model: "pcnet"}
	switch device.(type) {
	case *types.VirtualVmxnet3:
		nic.Model = "vmxnet3"
	case *types.VirtualE1000:
		nic.Model = "e1000"
	case *types.VirtualE1000e:
		nic.Model = "e1000e"
	}
	switch backing := card.Backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		nic.Switch, nic.VLAN = m.vcenter.standardPlace(m.host(), backing.DeviceName)
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		nic.Switch, nic.VLAN = m.vcenter.distributedPlace(backing.Port.PortgroupKey)
		nic.Rules = rulesOf(m.vcenter.portSetting(backing.Port))
	}
	return nic
}

// standardPlace is the switch and the VLAN of a standard port group.
func (v *vcenter) standardPlace(host *simulator.HostSystem, name string) (string, int32) {
	if host.ConfigManager.NetworkSystem == nil {
		return "", 0
	}
	if system, ok := v.registry().Get(*host.ConfigManager.NetworkSystem).(*simulator.HostNetworkSystem); ok {
		if group := (&hostNetwork{system, v}).portGroup(name); group != nil {
			return group.Spec.VswitchName, group.Spec.VlanId
		}
	}
	return "", 0
}

// distributedPlace is the switch and the VLAN of a distributed port group; one that hands on tags is a trunk.
func (v *vcenter) distributedPlace(key string) (string, int32) {
	group, ok := v.registry().Get(types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: key}).(*simulator.DistributedVirtualPortgroup)
	if !ok {
		return "", 0
	}
	dvs := v.switchOf(group)
	setting, ok := group.Config.DefaultPortConfig.(*types.VMwareDVSPortSetting)
	if dvs == nil || !ok {
		return "", 0
	}
	switch vlan := setting.Vlan.(type) {
	case *types.VmwareDistributedVirtualSwitchVlanIdSpec:
		return dvs.Name, vlan.VlanId
	case *types.VmwareDistributedVirtualSwitchTrunkVlanSpec:
		return dvs.Name, guest.AllVLANs
	}
	return dvs.Name, 0
}

// reconnect plugs the running guests on a network anew: its VLAN or its rules may be others.
func (v *vcenter) reconnect(network *mo.Network) { v.reconnectAll(network.Vm) }

func (v *vcenter) reconnectAll(machines []types.ManagedObjectReference) {
	for _, ref := range machines {
		vm := v.machine(ref)
		if vm == nil || v.guest(ref) == nil {
			continue
		}
		for _, device := range vm.Config.Hardware.Device {
			card, ok := device.(types.BaseVirtualEthernetCard)
			if !ok {
				continue
			}
			if err := v.fleet.Plug.Update(vm.nicOf(card)); err != nil {
				log.Printf("an adapter of %s cannot be plugged anew: %v", ref.Value, err)
			}
		}
	}
}
