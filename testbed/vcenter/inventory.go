package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const builderTimeout = 10 * time.Minute

// builder makes the estate that the options ask for. It goes one step after the other, so that every start gives the
// same managed object references.
type builder struct {
	*vcenter
	client *vim25.Client
}

func (v *vcenter) build() error {
	ctx, cancel := context.WithTimeout(context.Background(), builderTimeout)
	defer cancel()
	client, err := vim25.NewClient(ctx, v.service)
	if err != nil {
		return err
	}
	b := builder{v, client}
	if v.options.ESX {
		return b.esx(ctx)
	}
	for i := range v.options.Datacenters {
		if err := b.datacenter(ctx, fmt.Sprintf("DC%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// esx finishes the host that the model itself has made.
func (b builder) esx(ctx context.Context) error {
	host, err := find.NewFinder(b.client).DefaultHostSystem(ctx)
	if err != nil {
		return err
	}
	b.equip(host)
	return b.datastores(ctx, "ha-datacenter", []*object.HostSystem{host})
}

func (b builder) datacenter(ctx context.Context, name string) error {
	datacenter, err := object.NewRootFolder(b.client).CreateDatacenter(ctx, name)
	if err != nil {
		return err
	}
	folders, err := datacenter.Folders(ctx)
	if err != nil {
		return err
	}
	dvs, err := b.distributedSwitch(ctx, name, folders.NetworkFolder)
	if err != nil {
		return err
	}
	var hosts []*object.HostSystem
	for i := range b.options.Clusters {
		more, err := b.cluster(ctx, fmt.Sprintf("%s_C%d", name, i), folders.HostFolder, dvs)
		if err != nil {
			return err
		}
		hosts = append(hosts, more...)
	}
	b.tidyNetworks(datacenter.Reference())
	return b.datastores(ctx, name, hosts)
}

// distributedSwitch makes the switch and its port groups. The simulator adds the uplink group in the background: wait
// for it, or references would differ from start to start.
func (b builder) distributedSwitch(ctx context.Context, name string, folder *object.Folder) (*object.DistributedVirtualSwitch, error) {
	spec := types.DVSCreateSpec{ConfigSpec: &types.VMwareDVSConfigSpec{}}
	spec.ConfigSpec.GetDVSConfigSpec().Name = name + "_DVS0"
	task, err := folder.CreateDVS(ctx, spec)
	if err != nil {
		return nil, err
	}
	info, err := task.WaitForResult(ctx)
	if err != nil {
		return nil, err
	}
	dvs := object.NewDistributedVirtualSwitch(b.client, info.Result.(types.ManagedObjectReference))
	if err := b.awaitUplinks(ctx, dvs); err != nil {
		return nil, err
	}
	for i := range b.options.PortGroups {
		task, err := dvs.AddPortgroup(ctx, []types.DVPortgroupConfigSpec{{
			Name: fmt.Sprintf("%s_DVPG%d", name, i), NumPorts: 128,
			Type: string(types.DistributedVirtualPortgroupPortgroupTypeEarlyBinding),
			DefaultPortConfig: &types.VMwareDVSPortSetting{
				Vlan: &types.VmwareDistributedVirtualSwitchVlanIdSpec{VlanId: int32(100 + i)},
			},
		}})
		if err != nil {
			return nil, err
		}
		if err := task.Wait(ctx); err != nil {
			return nil, err
		}
	}
	return dvs, nil
}

func (b builder) awaitUplinks(ctx context.Context, dvs *object.DistributedVirtualSwitch) error {
	for {
		var got mo.DistributedVirtualSwitch
		if err := dvs.Properties(ctx, dvs.Reference(), []string{"portgroup"}, &got); err != nil {
			return err
		}
		if len(got.Portgroup) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func (b builder) cluster(ctx context.Context, name string, folder *object.Folder, dvs *object.DistributedVirtualSwitch) ([]*object.HostSystem, error) {
	drs := &types.ClusterDrsConfigInfo{Enabled: types.NewBool(b.options.DRS != "off")}
	if b.options.DRS != "off" {
		drs.DefaultVmBehavior = types.DrsBehavior(b.options.DRS)
	}
	cluster, err := folder.CreateCluster(ctx, name, types.ClusterConfigSpecEx{
		DrsConfig: drs,
		DasConfig: &types.ClusterDasConfigInfo{
			Enabled: types.NewBool(b.options.HA), AdmissionControlEnabled: types.NewBool(false),
		},
	})
	if err != nil {
		return nil, err
	}
	var hosts []*object.HostSystem
	for i := range b.options.HostsPerCluster {
		task, err := cluster.AddHost(ctx, types.HostConnectSpec{HostName: fmt.Sprintf("%s_H%d", name, i)}, true, nil, nil)
		if err != nil {
			return nil, err
		}
		info, err := task.WaitForResult(ctx)
		if err != nil {
			return nil, err
		}
		host := object.NewHostSystem(b.client, info.Result.(types.ManagedObjectReference))
		if err := b.join(ctx, dvs, host); err != nil {
			return nil, err
		}
		b.equip(host)
		hosts = append(hosts, host)
	}
	b.balance(cluster.Reference(), drs)
	b.sum(cluster.Reference())
	return hosts, nil
}

func (b builder) join(ctx context.Context, dvs *object.DistributedVirtualSwitch, host *object.HostSystem) error {
	task, err := dvs.Reconfigure(ctx, &types.DVSConfigSpec{Host: []types.DistributedVirtualSwitchHostMemberConfigSpec{{
		Operation: string(types.ConfigSpecOperationAdd), Host: host.Reference(),
	}}})
	if err != nil {
		return err
	}
	return task.Wait(ctx)
}

// datastores makes the folders, and mounts them: the shared ones on all hosts, the others on one host each.
func (b builder) datastores(ctx context.Context, datacenter string, hosts []*object.HostSystem) error {
	if !b.options.NoSharedStorage {
		for i := range b.options.Datastores {
			if err := b.datastore(ctx, datacenter, fmt.Sprintf("datastore%d", i+1), hosts); err != nil {
				return err
			}
		}
	}
	if !b.options.NoSharedStorage && !b.options.LocalDatastores {
		return nil
	}
	for i, host := range hosts {
		if err := b.datastore(ctx, datacenter, fmt.Sprintf("local%d", i+1), []*object.HostSystem{host}); err != nil {
			return err
		}
	}
	return nil
}

func (b builder) datastore(ctx context.Context, datacenter, name string, hosts []*object.HostSystem) error {
	folder := filepath.Join(b.options.Data, "datastores", datacenter, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	var made *object.Datastore
	for _, host := range hosts {
		system, err := host.ConfigManager().DatastoreSystem(ctx)
		if err != nil {
			return err
		}
		mounted, err := system.CreateLocalDatastore(ctx, name, folder)
		if err != nil {
			return err
		}
		if made == nil {
			made = mounted // the simulator tells the reference to the first host only
		}
	}
	if made != nil {
		b.vmfs(made.Reference(), len(hosts) > 1)
	}
	return nil
}
