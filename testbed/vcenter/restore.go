package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/guest"
)

// restore brings back what an earlier process kept, under the same references, and takes over the guests that still run.
func (v *vcenter) restore() error {
	kept, highest, err := v.store.load()
	if err != nil {
		return err
	}
	if err := v.skip(highest); err != nil {
		return err
	}
	if err := v.discardHalfMade(); err != nil {
		return err
	}
	for _, step := range []struct {
		kind    string
		restore func(types.ObjectContent) error
	}{
		{"CustomFieldsManager", v.restoreFields}, {"ClusterComputeResource", v.restoreCluster},
		{"Folder", v.restoreFolder}, {"DistributedVirtualPortgroup", v.restorePortgroup}, {"Network", v.restoreNetwork},
		{"HostNetworkSystem", v.restoreHostNetwork}, {"VirtualMachine", v.restoreMachine},
	} {
		for _, content := range kept[step.kind] {
			if err := step.restore(content); err != nil {
				return fmt.Errorf("cannot restore %s: %w", content.Obj, err)
			}
		}
	}
	if err := v.linkFolders(); err != nil {
		return err
	}
	return v.fleet.Sweep(func(id string) bool {
		return v.registry().Get(types.ManagedObjectReference{Type: "VirtualMachine", Value: id}) != nil
	})
}

// placeholder holds a number of the registry's counter, while that is told to go beyond.
type placeholder struct{ Self types.ManagedObjectReference }

// Reference implements mo.Reference.
func (p *placeholder) Reference() types.ManagedObjectReference { return p.Self }

// skip lets the next new object get a higher number than any before: vCenter uses none twice.
func (v *vcenter) skip(highest int64) error {
	held := &placeholder{types.ManagedObjectReference{Type: "Placeholder", Value: fmt.Sprintf("placeholder-%d", highest)}}
	v.registry().Put(held)
	defer v.registry().Remove(v.context(), held.Self)
	return v.registry().AlignCounter()
}

// restoreFields brings back the custom fields. The simulator counts their keys by itself: count it up to ours.
func (v *vcenter) restoreFields(content types.ObjectContent) error {
	var kept mo.CustomFieldsManager
	if err := mo.LoadObjectContent([]types.ObjectContent{content}, &kept); err != nil {
		return err
	}
	manager := v.registry().CustomFieldsManager()
	highest := int32(0)
	for _, field := range kept.Field {
		highest = max(highest, field.Key)
	}
	for i := range highest {
		manager.AddCustomFieldDef(v.context(), &types.AddCustomFieldDef{Name: fmt.Sprintf("placeholder %d", i), MoType: "Placeholder"})
	}
	manager.Field = kept.Field
	return nil
}

func (v *vcenter) restoreCluster(content types.ObjectContent) error {
	cluster, ok := v.registry().Get(content.Obj).(*simulator.ClusterComputeResource)
	if !ok {
		return errors.New("the options make no such cluster; start it with the options of the first time")
	}
	var kept mo.ClusterComputeResource
	if err := mo.LoadObjectContent([]types.ObjectContent{content}, &kept); err != nil {
		return err
	}
	cluster.ConfigurationEx = kept.ConfigurationEx
	return nil
}

func (v *vcenter) restoreFolder(content types.ObjectContent) error {
	folder := &simulator.Folder{}
	if err := mo.LoadObjectContent([]types.ObjectContent{content}, &folder.Folder); err != nil {
		return err
	}
	folder.ChildEntity, folder.RecentTask = nil, nil
	v.registry().Put(folder)
	return nil
}

// linkFolders lists the restored folders and VMs among the children of their parents.
func (v *vcenter) linkFolders() error {
	for _, kind := range []string{"Folder", "VirtualMachine"} {
		for _, entity := range v.registry().All(kind) {
			ref, above := entity.Reference(), entity.Entity().Parent
			if above == nil || v.store.base[ref] {
				continue
			}
			parent, ok := v.registry().Get(*above).(*simulator.Folder)
			if !ok {
				return fmt.Errorf("%s lies in %s, which is not there", ref, above)
			}
			v.registry().AddReference(v.context(), parent, &parent.ChildEntity, ref)
		}
	}
	return nil
}

func (v *vcenter) restoreMachine(content types.ObjectContent) error {
	vm := &simulator.VirtualMachine{DataSets: map[string]*simulator.DataSet{}}
	if err := mo.LoadObjectContent([]types.ObjectContent{content}, &vm.VirtualMachine); err != nil {
		return err
	}
	vm.RecentTask = nil
	host, ok := v.registry().Get(*vm.Runtime.Host).(*simulator.HostSystem)
	if !ok {
		return errors.New("the options make no such host; start it with the options of the first time")
	}
	v.registry().Put(vm)
	ctx := v.context()
	v.registry().AddReference(ctx, host, &host.Vm, vm.Self)
	if vm.ResourcePool != nil {
		if pool, ok := v.registry().Get(*vm.ResourcePool).(*simulator.ResourcePool); ok {
			v.registry().AddReference(ctx, pool, &pool.Vm, vm.Self)
		}
	}
	for _, ref := range vm.Datastore {
		if store, ok := v.registry().Get(ref).(*simulator.Datastore); ok {
			v.registry().AddReference(ctx, store, &store.Vm, vm.Self)
		}
	}
	v.connect(ctx, vm.Self, vm.Network)
	(&machine{vm, v}).restorePorts()
	v.adopt(&machine{vm, v})
	return nil
}

// discardHalfMade removes what there is of VMs that were being made.
func (v *vcenter) discardHalfMade() error {
	homes, err := v.store.halfMade()
	if err != nil {
		return err
	}
	for _, home := range homes {
		log.Printf("removing %s of a machine that was not finished", home)
		if err := os.RemoveAll(home); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes over the VM's guest; one that has ended meanwhile leaves the VM powered off.
func (v *vcenter) adopt(m *machine) {
	running, err := v.fleet.Adopt(m.Self.Value)
	if err != nil && !errors.Is(err, guest.ErrGone) {
		log.Printf("cannot take over the guest of %s: %v", m.Self.Value, err)
	}
	state := poweredOff
	if running != nil {
		v.keep(m.Self, running)
		state = poweredOn
		if paused, err := running.Paused(); err == nil && paused {
			state = suspended
		}
	}
	if state != m.Runtime.PowerState {
		m.show(v.context(), state)
	}
}

// identify gives this vCenter an instance UUID of its own, the same at each start.
func (v *vcenter) identify() error {
	path := filepath.Join(v.options.Data, "instance-uuid")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte(uuid.NewString())
		err = replace(path, text)
	}
	if err != nil {
		return err
	}
	about := &v.serviceInstance().Content.About
	if !v.options.ESX {
		about.InstanceUuid = strings.TrimSpace(string(text))
	}
	about.Version, about.ApiVersion = "8.0.2", "8.0.2.0"
	about.FullName = fmt.Sprintf("%s %s build-%s", about.Name, about.Version, about.Build)
	return nil
}
