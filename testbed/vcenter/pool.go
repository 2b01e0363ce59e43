package main

import (
	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// pool is a resource pool that imports for real.
type pool struct {
	*simulator.ResourcePool
	vcenter *vcenter
}

// ImportVApp creates a VM and returns a lease, under whose URLs its disks are uploaded as streamOptimized VMDKs.
func (p *pool) ImportVApp(ctx *simulator.Context, req *types.ImportVApp) soap.HasFault {
	body := &methods.ImportVAppBody{}
	spec, ok := req.Spec.(*types.VirtualMachineImportSpec)
	if !ok {
		body.Fault_ = simulator.Fault("only single virtual machines can be imported", &types.InvalidArgument{InvalidProperty: "spec"})
		return body
	}
	into, fault := p.folder(req.Folder)
	if fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	made := &lease{vcenter: p.vcenter, token: uuid.NewString(), targets: map[string]*target{}}
	made.Self.Type = "HttpNfcLease"
	made.State = types.HttpNfcLeaseStateInitializing
	made.Mode = string(types.HttpNfcLeaseModePushOrGet)
	made.Capabilities = types.HttpNfcLeaseCapabilities{PullModeSupported: false, CorsSupported: false}
	ctx.Session.Put(made)

	p.vcenter.task(ctx, p.Self, "ImportVAppLRO", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		vm, fault := into.create(ctx, &types.CreateVM_Task{This: into.Self, Config: spec.ConfigSpec, Pool: p.Self, Host: req.Host})
		if fault != nil {
			made.fail(ctx, fault)
			return nil, fault
		}
		made.open(ctx, vm)
		return vm.Self, nil
	})
	body.Res = &types.ImportVAppResponse{Returnval: made.Self}
	return body
}

// folder is the one asked for, or the datacenter's root of VMs.
func (p *pool) folder(wanted *types.ManagedObjectReference) (*folder, types.BaseMethodFault) {
	if wanted == nil {
		if datacenter := p.vcenter.datacenterAbove(p.Parent); datacenter != nil {
			wanted = &datacenter.VmFolder
		}
	}
	if wanted != nil {
		if found, ok := p.vcenter.registry().Get(*wanted).(*simulator.Folder); ok {
			return &folder{found, p.vcenter}, nil
		}
	}
	return nil, &types.InvalidArgument{InvalidProperty: "folder"}
}
