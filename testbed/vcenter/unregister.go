package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// UnregisterAndDestroyTask takes the VMs in a folder, and in those below it, out of the inventory with their files left
// in place, and then removes the folders.
func (f *folder) UnregisterAndDestroyTask(ctx *simulator.Context, req *types.UnregisterAndDestroy_Task) soap.HasFault {
	task := f.vcenter.task(ctx, f.Self, "unregisterAndDestroy", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if fault := f.vcenter.unregisterBelow(ctx, f.Self); fault != nil {
			return nil, fault
		}
		body := f.Folder.DestroyTask(ctx, &types.Destroy_Task{This: req.This}).(*methods.Destroy_TaskBody)
		if body.Fault() != nil {
			return nil, body.Fault().VimFault().(types.BaseMethodFault)
		}
		return f.vcenter.await(body.Res.Returnval)
	})
	return &methods.UnregisterAndDestroy_TaskBody{Res: &types.UnregisterAndDestroy_TaskResponse{Returnval: task}}
}

func (v *vcenter) unregisterBelow(ctx *simulator.Context, ref types.ManagedObjectReference) types.BaseMethodFault {
	found, ok := v.registry().Get(ref).(*simulator.Folder)
	if !ok {
		return nil
	}
	for _, child := range append([]types.ManagedObjectReference(nil), found.ChildEntity...) {
		if vm := v.machine(child); vm != nil {
			if vm.Runtime.PowerState != poweredOff {
				return vm.wrongState(poweredOff)
			}
			body := vm.UnregisterVM(ctx, &types.UnregisterVM{This: child})
			if body.Fault() != nil {
				return body.Fault().VimFault().(types.BaseMethodFault)
			}
		} else if fault := v.unregisterBelow(ctx, child); fault != nil {
			return fault
		}
	}
	return nil
}
