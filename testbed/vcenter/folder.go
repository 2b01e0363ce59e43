package main

import (
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// folder is one whose new VMs are checked first, as vCenter does, and get real disks.
type folder struct {
	*simulator.Folder
	vcenter *vcenter
}

// CreateVMTask creates a VM.
func (f *folder) CreateVMTask(ctx *simulator.Context, req *types.CreateVM_Task) soap.HasFault {
	task := f.vcenter.task(ctx, f.Self, "CreateVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		vm, fault := f.create(ctx, req)
		if fault != nil {
			return nil, fault
		}
		f.vcenter.store.settle(vm.Self)
		return vm.Self, nil
	})
	return &methods.CreateVM_TaskBody{Res: &types.CreateVM_TaskResponse{Returnval: task}}
}

// create makes a VM that counts as unfinished until its maker settles it.
func (f *folder) create(ctx *simulator.Context, req *types.CreateVM_Task) (*machine, types.BaseMethodFault) {
	if fault := f.admit(req); fault != nil {
		return nil, fault
	}
	name := req.Config.Name
	escaped := strings.Contains(name, "%")
	if escaped {
		req.Config.Name = uuid.NewString() // the simulator would escape it once more, and double the devices on the way
	}
	body := f.Folder.CreateVMTask(ctx, req).(*methods.CreateVM_TaskBody)
	if body.Fault() != nil {
		return nil, body.Fault().VimFault().(types.BaseMethodFault)
	}
	made, fault := f.vcenter.await(body.Res.Returnval)
	if fault != nil {
		return nil, fault
	}
	vm := f.vcenter.machine(made.(types.ManagedObjectReference))
	if escaped {
		vm.call(ctx, name)
	}
	vm.complete(ctx)
	vm.bindPorts(ctx, nil)
	if fault := vm.settleDisks(ctx, nil); fault != nil {
		vm.destroy(ctx)
		return nil, fault
	}
	return vm, nil
}

// escapes are how vCenter writes the three letters that may not stand in a name.
var escapes = strings.NewReplacer("%2f", "%2f", "%2F", "%2f", "%5c", "%5c", "%5C", "%5c", "%25", "%25", "/", "%2f", `\`, "%5c", "%", "%25")

// escape writes a name as vCenter keeps it; one that is escaped already stays as it is.
func escape(name string) string { return escapes.Replace(name) }

// call gives the VM a name as a client has escaped it.
func (m *machine) call(ctx *simulator.Context, name string) {
	m.vcenter.update(ctx, m.VirtualMachine, func() []types.PropertyChange {
		return []types.PropertyChange{
			{Name: "name", Val: name}, {Name: "config.name", Val: name}, {Name: "summary.config.name", Val: name},
		}
	})
}

// admit refuses what vCenter refuses, and chooses a host as DRS does.
func (f *folder) admit(req *types.CreateVM_Task) types.BaseMethodFault {
	v, spec := f.vcenter, &req.Config
	if spec.Name == "" {
		return &types.InvalidVmConfig{Property: "configSpec.name"}
	}
	spec.Name = escape(spec.Name)
	if same := v.registry().FindByName(spec.Name, f.ChildEntity); same != nil {
		return &types.DuplicateName{Name: spec.Name, Object: same.Reference()}
	}
	if spec.Files == nil || spec.Files.VmPathName == "" {
		return &types.InvalidVmConfig{Property: "configSpec.files.vmPathName"}
	}
	hosts, fault := v.hostsOf(req.Pool)
	if fault != nil {
		return fault
	}
	if req.Host != nil {
		if !slices.Contains(hosts, *req.Host) {
			return &types.InvalidArgument{InvalidProperty: "host"}
		}
		hosts = []types.ManagedObjectReference{*req.Host}
	}
	host, fault := v.place(hosts, spec)
	if fault != nil {
		return fault
	}
	chosen := host.Self
	req.Host = &chosen
	if spec.InstanceUuid != "" && v.byInstanceUUID(spec.InstanceUuid) != nil {
		// "VirtualCenter ... change[s] it when [it] detects an identifier conflict": VirtualMachineConfigSpec.instanceUuid.
		spec.InstanceUuid = uuid.NewString()
	}
	return v.checkDevices(host, spec)
}

// hostsOf lists the hosts below the cluster or host that a resource pool belongs to.
func (v *vcenter) hostsOf(pool types.ManagedObjectReference) ([]types.ManagedObjectReference, types.BaseMethodFault) {
	var owner types.ManagedObjectReference
	switch found := v.registry().Get(pool).(type) {
	case *simulator.ResourcePool:
		owner = found.Owner
	case *simulator.VirtualApp:
		owner = found.Owner
	default:
		return nil, &types.ManagedObjectNotFound{Obj: pool}
	}
	switch found := v.registry().Get(owner).(type) {
	case *simulator.ClusterComputeResource:
		return slices.Clone(found.Host), nil
	case *mo.ComputeResource:
		return slices.Clone(found.Host), nil
	}
	return nil, &types.ManagedObjectNotFound{Obj: owner}
}

// place takes the host with the most memory left among those in service that reach the VM's datastore.
func (v *vcenter) place(hosts []types.ManagedObjectReference, spec *types.VirtualMachineConfigSpec) (*simulator.HostSystem, types.BaseMethodFault) {
	var best *simulator.HostSystem
	var most int64
	var fault types.BaseMethodFault = &types.NoCompatibleHost{}
	for _, ref := range hosts {
		host, ok := v.registry().Get(ref).(*simulator.HostSystem)
		if !ok || !inService(host) {
			continue
		}
		if _, wrong := v.file(host, spec.Files.VmPathName); wrong != nil {
			fault = wrong
			continue
		}
		if free := host.Summary.Hardware.MemorySize - v.memoryUsed(ref)<<20; best == nil || free > most {
			best, most = host, free
		}
	}
	if best == nil {
		return nil, fault
	}
	return best, nil
}

func inService(host *simulator.HostSystem) bool {
	return !host.Runtime.InMaintenanceMode && host.Runtime.ConnectionState == types.HostSystemConnectionStateConnected
}

// memoryUsed is what the running VMs of a host have, in MiB.
func (v *vcenter) memoryUsed(host types.ManagedObjectReference) int64 {
	var used int64
	for _, entity := range v.registry().All("VirtualMachine") {
		vm, ok := entity.(*simulator.VirtualMachine)
		if ok && vm.Runtime.Host != nil && *vm.Runtime.Host == host && vm.Runtime.PowerState == poweredOn && vm.Config != nil {
			used += int64(vm.Config.Hardware.MemoryMB)
		}
	}
	return used
}

func (v *vcenter) machine(ref types.ManagedObjectReference) *machine {
	if vm, ok := v.registry().Get(ref).(*simulator.VirtualMachine); ok {
		return &machine{vm, v}
	}
	return nil
}

func (v *vcenter) byInstanceUUID(id string) *simulator.VirtualMachine {
	for _, entity := range v.registry().All("VirtualMachine") {
		if vm, ok := entity.(*simulator.VirtualMachine); ok && vm.Config != nil && vm.Config.InstanceUuid == id {
			return vm
		}
	}
	return nil
}

// DestroyTask deletes the folder with all that is in it; a VM that runs is in the way.
func (f *folder) DestroyTask(ctx *simulator.Context, _ *types.Destroy_Task) soap.HasFault {
	task := f.vcenter.task(ctx, f.Self, "Destroy_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return nil, f.destroy(ctx)
	})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task}}
}

func (f *folder) destroy(ctx *simulator.Context) types.BaseMethodFault {
	for _, child := range slices.Clone(f.ChildEntity) {
		var fault types.BaseMethodFault
		switch found := f.vcenter.registry().Get(child).(type) {
		case *simulator.VirtualMachine:
			vm := &machine{found, f.vcenter}
			if fault = vm.wrongState(poweredOff); vm.Runtime.PowerState != poweredOn {
				fault = vm.destroy(ctx)
			}
		case *simulator.Folder:
			fault = (&folder{found, f.vcenter}).destroy(ctx)
		}
		if fault != nil {
			return fault
		}
	}
	body := f.Folder.DestroyTask(ctx, &types.Destroy_Task{This: f.Self}).(*methods.Destroy_TaskBody)
	_, fault := f.vcenter.await(body.Res.Returnval)
	return fault
}

// RegisterVMTask takes a VM's folder into the inventory, with a machine that has no devices yet: its .vmx file is not read.
func (f *folder) RegisterVMTask(ctx *simulator.Context, req *types.RegisterVM_Task) soap.HasFault {
	task := f.vcenter.task(ctx, f.Self, "RegisterVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return f.register(ctx, req)
	})
	return &methods.RegisterVM_TaskBody{Res: &types.RegisterVM_TaskResponse{Returnval: task}}
}

func (f *folder) register(ctx *simulator.Context, req *types.RegisterVM_Task) (types.AnyType, types.BaseMethodFault) {
	if req.Pool == nil {
		return nil, &types.InvalidArgument{InvalidProperty: "pool"}
	}
	hosts, fault := f.vcenter.hostsOf(*req.Pool)
	if fault != nil {
		return nil, fault
	}
	spec := &types.VirtualMachineConfigSpec{Files: &types.VirtualMachineFileInfo{VmPathName: req.Path}}
	placed, fault := f.vcenter.place(hosts, spec)
	if fault != nil {
		return nil, fault
	}
	req.Host = &placed.Self
	body := f.Folder.RegisterVMTask(ctx, req).(*methods.RegisterVM_TaskBody)
	made, fault := f.vcenter.await(body.Res.Returnval)
	if fault != nil {
		return nil, fault
	}
	vm := f.vcenter.machine(made.(types.ManagedObjectReference))
	vm.complete(ctx)
	f.vcenter.store.settle(vm.Self)
	return vm.Self, nil
}

// MoveIntoFolderTask moves machines and folders here.
func (f *folder) MoveIntoFolderTask(ctx *simulator.Context, req *types.MoveIntoFolder_Task) soap.HasFault {
	task := f.vcenter.task(ctx, f.Self, "MoveIntoFolder_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		for _, ref := range req.List {
			moved, ok := f.vcenter.registry().Get(ref).(mo.Entity)
			if !ok {
				return nil, &types.ManagedObjectNotFound{Obj: ref}
			}
			name := moved.Entity().Name
			if same := f.vcenter.registry().FindByName(name, f.ChildEntity); same != nil && same.Reference() != ref {
				return nil, &types.DuplicateName{Name: name, Object: same.Reference()}
			}
		}
		body := f.Folder.MoveIntoFolderTask(ctx, req).(*methods.MoveIntoFolder_TaskBody)
		_, fault := f.vcenter.await(body.Res.Returnval)
		for _, ref := range req.List {
			f.vcenter.store.mark(ref)
		}
		return nil, fault
	})
	return &methods.MoveIntoFolder_TaskBody{Res: &types.MoveIntoFolder_TaskResponse{Returnval: task}}
}
