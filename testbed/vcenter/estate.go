package main

import (
	"fmt"
	"net/http"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// host is an ESXi host that DRS empties before maintenance.
type host struct {
	*simulator.HostSystem
	vcenter *vcenter
}

// EnterMaintenanceModeTask moves the running VMs away if DRS is fully automated, and waits for nobody otherwise.
func (h *host) EnterMaintenanceModeTask(ctx *simulator.Context, _ *types.EnterMaintenanceMode_Task) soap.HasFault {
	task := h.vcenter.task(ctx, h.Self, "EnterMaintenanceMode_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		for _, vm := range h.vcenter.machinesOn(h.Self, poweredOn) {
			if !h.vcenter.automated(h.HostSystem) {
				return nil, &types.InvalidState{}
			}
			if fault := h.vcenter.evacuate(ctx, vm); fault != nil {
				return nil, fault
			}
		}
		h.vcenter.update(ctx, h.HostSystem, func() []types.PropertyChange { return maintenance(true) })
		return nil, nil
	})
	return &methods.EnterMaintenanceMode_TaskBody{Res: &types.EnterMaintenanceMode_TaskResponse{Returnval: task}}
}

// ExitMaintenanceModeTask puts the host back into service.
func (h *host) ExitMaintenanceModeTask(ctx *simulator.Context, _ *types.ExitMaintenanceMode_Task) soap.HasFault {
	task := h.vcenter.task(ctx, h.Self, "ExitMaintenanceMode_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		h.vcenter.update(ctx, h.HostSystem, func() []types.PropertyChange { return maintenance(false) })
		return nil, nil
	})
	return &methods.ExitMaintenanceMode_TaskBody{Res: &types.ExitMaintenanceMode_TaskResponse{Returnval: task}}
}

func maintenance(in bool) []types.PropertyChange {
	return []types.PropertyChange{{Name: "runtime.inMaintenanceMode", Val: in}}
}

// evacuate moves a running VM to the best other host, as DRS does.
func (v *vcenter) evacuate(ctx *simulator.Context, vm *machine) types.BaseMethodFault {
	target, fault := v.otherHost(vm)
	if fault != nil {
		return fault
	}
	defer v.serialize(vm.Self)()
	return vm.relocate(ctx, &types.VirtualMachineRelocateSpec{Host: &target.Self})
}

// otherHost is the best host of the VM's cluster besides its own.
func (v *vcenter) otherHost(vm *machine) (*simulator.HostSystem, types.BaseMethodFault) {
	cluster, ok := v.registry().Get(*vm.host().Parent).(*simulator.ClusterComputeResource)
	if !ok {
		return nil, &types.NoCompatibleHost{}
	}
	var others []types.ManagedObjectReference
	for _, ref := range cluster.Host {
		if ref != vm.host().Self {
			others = append(others, ref)
		}
	}
	return v.place(others, &types.VirtualMachineConfigSpec{Files: &types.VirtualMachineFileInfo{VmPathName: vm.Config.Files.VmPathName}})
}

// automated tells whether the host's cluster has DRS fully automated.
func (v *vcenter) automated(of *simulator.HostSystem) bool {
	cluster, ok := v.registry().Get(*of.Parent).(*simulator.ClusterComputeResource)
	if !ok {
		return false
	}
	drs := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx).DrsConfig
	return drs.Enabled != nil && *drs.Enabled && drs.DefaultVmBehavior == types.DrsBehaviorFullyAutomated
}

// protected tells whether the host's cluster has HA.
func (v *vcenter) protected(of *simulator.HostSystem) bool {
	cluster, ok := v.registry().Get(*of.Parent).(*simulator.ClusterComputeResource)
	if !ok {
		return false
	}
	das := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx).DasConfig
	return das.Enabled != nil && *das.Enabled
}

func (v *vcenter) machinesOn(ref types.ManagedObjectReference, state types.VirtualMachinePowerState) []*machine {
	var found []*machine
	for _, entity := range v.registry().All("VirtualMachine") {
		vm, ok := entity.(*simulator.VirtualMachine)
		if ok && vm.Runtime.Host != nil && *vm.Runtime.Host == ref && vm.Runtime.PowerState == state {
			found = append(found, &machine{vm, v})
		}
	}
	return found
}

// failHost lets a host crash: its guests end at once, and HA powers them on elsewhere.
func (v *vcenter) failHost(failed *simulator.HostSystem) error {
	ctx := v.context()
	victims := append(v.machinesOn(failed.Self, poweredOn), v.machinesOn(failed.Self, suspended)...)
	v.update(ctx, failed, func() []types.PropertyChange { return connection(types.HostSystemConnectionStateNotResponding) })
	for _, vm := range victims {
		if fault := v.failMachine(ctx, vm, v.protected(failed)); fault != nil {
			return fmt.Errorf("%s: %s", vm.Name, sentence(fault))
		}
	}
	return nil
}

func (v *vcenter) failMachine(ctx *simulator.Context, vm *machine, protected bool) types.BaseMethodFault {
	defer v.serialize(vm.Self)()
	restart := vm.Runtime.PowerState == poweredOn && protected
	if fault := vm.powerOff(ctx); fault != nil || !restart {
		return fault
	}
	target, fault := v.otherHost(vm)
	if fault != nil {
		return nil // no room elsewhere: it stays off, as with HA
	}
	vm.settleOn(ctx, target, nil)
	return vm.powerOn(ctx)
}

func connection(state types.HostSystemConnectionState) []types.PropertyChange {
	return []types.PropertyChange{{Name: "runtime.connectionState", Val: state}}
}

// serveEstate lets a test do what DRS, HA or a crash does: POST …/migrate?vm=…&host=…, …/host-failure?host=…, …/host-return?host=….
func (v *vcenter) serveEstate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	defer v.store.flush()
	if err := v.estateAction(r); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	reply(w, map[string]string{"result": "done"})
}

func (v *vcenter) estateAction(r *http.Request) error {
	named := v.hostNamed(r.FormValue("host"))
	if named == nil {
		return fmt.Errorf("there is no host %q", r.FormValue("host"))
	}
	switch r.URL.Path {
	case adminPath + "/host-failure":
		return v.failHost(named)
	case adminPath + "/host-return":
		v.update(v.context(), named, func() []types.PropertyChange { return connection(types.HostSystemConnectionStateConnected) })
		return nil
	}
	vm := v.machine(types.ManagedObjectReference{Type: "VirtualMachine", Value: r.FormValue("vm")})
	if vm == nil {
		return fmt.Errorf("there is no VM %q", r.FormValue("vm"))
	}
	defer v.serialize(vm.Self)()
	if fault := vm.relocate(v.context(), &types.VirtualMachineRelocateSpec{Host: &named.Self}); fault != nil {
		return fmt.Errorf("%s cannot move: %s", vm.Name, sentence(fault))
	}
	return nil
}

// hostNamed finds a host by its name or managed object id.
func (v *vcenter) hostNamed(name string) *simulator.HostSystem {
	for _, entity := range v.registry().All("HostSystem") {
		if found, ok := entity.(*simulator.HostSystem); ok && (found.Name == name || found.Self.Value == name) {
			return found
		}
	}
	return nil
}
