package main

import (
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// watcher is told by the registry of all that comes, changes and goes.
type watcher struct {
	vcenter *vcenter
}

// Reference implements simulator.RegisterObject.
func (w *watcher) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "PolyvisorWatcher", Value: "PolyvisorWatcher"}
}

// PutObject implements simulator.RegisterObject.
func (w *watcher) PutObject(_ *simulator.Context, obj mo.Reference) {
	if vm, ok := obj.(*simulator.VirtualMachine); ok && vm.Runtime.Host == nil { // new, not moved to another folder
		if datacenter := w.vcenter.datacenterAbove(vm.Parent); datacenter != nil {
			if home, _, fault := w.vcenter.find(&datacenter.Self, vm.Config.Files.LogDirectory); fault == nil {
				w.vcenter.store.hold(vm.Self, home)
			}
		}
	}
	if obj.Reference().Type == "DistributedVirtualPortgroup" {
		return // it is being made; whoever makes it marks it when it is whole
	}
	w.vcenter.store.mark(obj.Reference())
}

// UpdateObject implements simulator.RegisterObject. The object is locked by whoever updates it.
func (w *watcher) UpdateObject(ctx *simulator.Context, obj mo.Reference, changes []types.PropertyChange) {
	w.vcenter.store.mark(obj.Reference())
	switch found := obj.(type) {
	case *mo.Task:
		w.task(found, changes)
	case *mo.VirtualMachine:
		if slices.ContainsFunc(changes, func(change types.PropertyChange) bool { return change.Name == "network" }) {
			w.vcenter.connect(ctx, found.Self, found.Network)
		}
	}
}

// RemoveObject implements simulator.RegisterObject.
func (w *watcher) RemoveObject(ctx *simulator.Context, ref types.ManagedObjectReference) {
	if ref.Type == "VirtualMachine" {
		w.vcenter.connect(ctx, ref, nil)
	}
	w.vcenter.store.mark(ref)
}

// task gives the simulator's tasks what a client can parse, and looks at the datastores when one has ended.
func (w *watcher) task(task *mo.Task, changes []types.PropertyChange) {
	if entity := task.Info.Entity; entity != nil && (entity.Type == "FileManager" || entity.Type == "VirtualDiskManager") {
		datacenter := w.vcenter.datacenterOf(nil)
		task.Info.Entity = &datacenter // clients expect a managed entity here, which a manager is not
	}
	if name := methodName(task.Info.Name); name != task.Info.Name {
		task.Info.Name = name
	}
	if failed := task.Info.Error; failed != nil && strings.HasPrefix(failed.LocalizedMessage, "*types.") {
		failed.LocalizedMessage = sentence(failed.Fault) // the simulator says the Go type
	}
	for _, change := range changes {
		if change.Name == "info.state" && task.Info.State != types.TaskInfoStateRunning {
			go w.vcenter.measureAll()
		}
	}
}

// oddNames are the simulator's task names that are not their method's.
var oddNames = map[string]string{
	"CloneVm": "CloneVM_Task", "PowerOff": "PowerOffVM_Task", "PowerOn": "PowerOnVM_Task", "ReconfigVm": "ReconfigVM_Task",
	"RelocateVm": "RelocateVM_Task", "Reset": "ResetVM_Task", "Suspend": "SuspendVM_Task", "UpgradeVm": "UpgradeVM_Task",
	"CreateVm": "CreateVM_Task", "RegisterVm": "RegisterVM_Task",
}

// methodName is what TaskInfo.name has to be: the method's name, which clients look up.
func methodName(name string) string {
	if odd, ok := oddNames[name]; ok {
		return odd
	}
	if _, ok := types.TypeFunc()(name + "_Task"); ok {
		return name + "_Task"
	}
	return name
}
