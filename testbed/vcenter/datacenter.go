package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// datacenter is one that powers on many VMs at once for real.
type datacenter struct {
	*simulator.Datacenter
	vcenter *vcenter
}

// PowerOnMultiVMTask starts a task of its own for each VM, and tells which.
func (d *datacenter) PowerOnMultiVMTask(ctx *simulator.Context, req *types.PowerOnMultiVM_Task) soap.HasFault {
	task := d.vcenter.task(ctx, d.Self, "PowerOnMultiVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		result := types.ClusterPowerOnVmResult{}
		for _, ref := range req.Vm {
			vm := d.vcenter.machine(ref)
			if vm == nil {
				result.NotAttempted = append(result.NotAttempted, types.ClusterNotAttemptedVmInfo{
					Vm: ref, Fault: types.LocalizedMethodFault{Fault: &types.ManagedObjectNotFound{Obj: ref}},
				})
				continue
			}
			own := d.vcenter.task(ctx, ref, "PowerOnVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
				return nil, vm.powerOn(ctx)
			})
			result.Attempted = append(result.Attempted, types.ClusterAttemptedVmInfo{Vm: ref, Task: &own})
		}
		return result, nil
	})
	return &methods.PowerOnMultiVM_TaskBody{Res: &types.PowerOnMultiVM_TaskResponse{Returnval: task}}
}
