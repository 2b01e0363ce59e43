package main

import (
	"slices"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const hostMHz = 2600

// equip gives a host the processors, memory and interfaces of the options.
func (b builder) equip(ref *object.HostSystem) {
	host := b.registry().Get(ref.Reference()).(*simulator.HostSystem)
	threads := int16(b.options.HostCPUs)
	memory := b.options.HostMiB << 20

	summary := *host.Summary.Hardware
	summary.NumCpuThreads, summary.NumCpuCores, summary.NumCpuPkgs = threads, max(threads/2, 1), 1
	summary.CpuMhz, summary.MemorySize = hostMHz, memory
	host.Summary.Hardware = &summary

	hardware := *host.Hardware
	hardware.MemorySize = memory
	hardware.CpuInfo = types.HostCpuInfo{
		NumCpuPackages: 1, NumCpuCores: summary.NumCpuCores, NumCpuThreads: threads, Hz: hostMHz * 1_000_000,
	}
	host.Hardware = &hardware
	host.Summary.QuickStats = types.HostListSummaryQuickStats{OverallCpuUsage: 0, OverallMemoryUsage: 0}
	host.Summary.Config.VmotionEnabled = b.options.VMotion && !b.options.ESX
	host.Runtime.ConnectionState = types.HostSystemConnectionStateConnected
	host.Runtime.PowerState = types.HostSystemPowerStatePoweredOn
	b.vmotion(host)
}

// vmotion leaves the host's vMotion interface selected, or not.
func (b builder) vmotion(host *simulator.HostSystem) {
	if host.Config == nil || host.Config.VirtualNicManagerInfo == nil {
		return
	}
	for i := range host.Config.VirtualNicManagerInfo.NetConfig {
		config := &host.Config.VirtualNicManagerInfo.NetConfig[i]
		if config.NicType != string(types.HostVirtualNicManagerNicTypeVmotion) {
			continue
		}
		config.SelectedVnic = nil
		if host.Summary.Config.VmotionEnabled && len(config.CandidateVnic) > 0 {
			config.SelectedVnic = []string{config.CandidateVnic[0].Key}
		}
	}
}

// sum makes a cluster's summary the sum of its hosts.
func (b builder) sum(ref types.ManagedObjectReference) {
	cluster := b.registry().Get(ref).(*simulator.ClusterComputeResource)
	summary := cluster.Summary.GetComputeResourceSummary()
	summary.TotalCpu, summary.TotalMemory, summary.NumCpuCores, summary.NumCpuThreads = 0, 0, 0, 0
	for _, host := range cluster.Host {
		hardware := b.registry().Get(host).(*simulator.HostSystem).Summary.Hardware
		summary.TotalCpu += hardware.CpuMhz * int32(hardware.NumCpuCores)
		summary.TotalMemory += hardware.MemorySize
		summary.NumCpuCores += hardware.NumCpuCores
		summary.NumCpuThreads += hardware.NumCpuThreads
	}
	summary.EffectiveCpu = summary.TotalCpu
	summary.EffectiveMemory = summary.TotalMemory >> 20 // the one figure in MB
	summary.NumHosts, summary.NumEffectiveHosts = int32(len(cluster.Host)), int32(len(cluster.Host))
}

// balance sets the whole of DRS's configuration, of which the simulator keeps a part.
func (b builder) balance(ref types.ManagedObjectReference, drs *types.ClusterDrsConfigInfo) {
	cluster := b.registry().Get(ref).(*simulator.ClusterComputeResource)
	configuration := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
	vmotionRate := int32(3)
	configuration.DrsConfig = types.ClusterDrsConfigInfo{
		Enabled: drs.Enabled, DefaultVmBehavior: drs.DefaultVmBehavior,
		EnableVmBehaviorOverrides: types.NewBool(true), VmotionRate: vmotionRate,
	}
	if drs.DefaultVmBehavior == "" { // vCenter keeps a behaviour for the day that DRS is turned on
		configuration.DrsConfig.DefaultVmBehavior = types.DrsBehaviorFullyAutomated
	}
	configuration.DasConfig.Enabled = types.NewBool(b.options.HA)
}

// tidyNetworks drops the second mention that the simulator makes of each port group.
func (b builder) tidyNetworks(ref types.ManagedObjectReference) {
	datacenter := b.registry().Get(ref).(*simulator.Datacenter)
	var once []types.ManagedObjectReference
	for _, network := range datacenter.Network {
		if !slices.Contains(once, network) {
			once = append(once, network)
		}
	}
	datacenter.Network = once
}
