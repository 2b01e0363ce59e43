package main

import (
	"errors"
	"log"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/guest"
)

const (
	poweredOn  = types.VirtualMachinePowerStatePoweredOn
	poweredOff = types.VirtualMachinePowerStatePoweredOff
	suspended  = types.VirtualMachinePowerStateSuspended
)

// PowerOnVMTask boots the VM, or lets a suspended one run on.
func (m *machine) PowerOnVMTask(ctx *simulator.Context, _ *types.PowerOnVM_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "PowerOnVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return nil, m.powerOn(ctx)
	})
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: task}}
}

func (m *machine) powerOn(ctx *simulator.Context) types.BaseMethodFault {
	switch {
	case m.Config.Template:
		return &types.InvalidState{}
	case m.Runtime.PowerState == poweredOn:
		return m.wrongState(poweredOn)
	case m.host().Runtime.InMaintenanceMode || m.host().Runtime.ConnectionState != types.HostSystemConnectionStateConnected:
		return &types.InvalidState{}
	case m.Runtime.PowerState == suspended:
		return m.resume(ctx)
	}
	spec, fault := m.guestSpec()
	if fault != nil {
		return fault
	}
	started, err := m.vcenter.fleet.Start(m.Self.Value, spec)
	if err != nil {
		if strings.Contains(err.Error(), "lock") {
			return fileFault(m.Config.Files.VmPathName, err)
		}
		return configFault(err)
	}
	m.vcenter.keep(m.Self, started)
	m.show(ctx, poweredOn)
	return nil
}

func (m *machine) resume(ctx *simulator.Context) types.BaseMethodFault {
	running := m.vcenter.guest(m.Self)
	if running == nil {
		m.show(ctx, poweredOff)
		return configFault(errors.New("the suspended guest was lost; power the VM on anew"))
	}
	if err := running.Resume(); err != nil {
		return systemFault(err)
	}
	m.show(ctx, poweredOn)
	return nil
}

// PowerOffVMTask pulls the cord.
func (m *machine) PowerOffVMTask(ctx *simulator.Context, _ *types.PowerOffVM_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "PowerOffVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if m.Runtime.PowerState == poweredOff {
			return nil, m.wrongState(poweredOff)
		}
		return nil, m.powerOff(ctx)
	})
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: task}}
}

func (m *machine) powerOff(ctx *simulator.Context) types.BaseMethodFault {
	if running := m.vcenter.forget(m.Self); running != nil {
		if err := running.Kill(); err != nil {
			return systemFault(err)
		}
	}
	m.show(ctx, poweredOff)
	return nil
}

// SuspendVMTask stops the guest's CPUs; its memory stays with its QEMU.
func (m *machine) SuspendVMTask(ctx *simulator.Context, _ *types.SuspendVM_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "SuspendVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		running := m.vcenter.guest(m.Self)
		if m.Runtime.PowerState != poweredOn || running == nil {
			return nil, m.wrongState(poweredOn)
		}
		if err := running.Pause(); err != nil {
			return nil, systemFault(err)
		}
		m.show(ctx, suspended)
		return nil, nil
	})
	return &methods.SuspendVM_TaskBody{Res: &types.SuspendVM_TaskResponse{Returnval: task}}
}

// ResetVMTask presses the reset button.
func (m *machine) ResetVMTask(ctx *simulator.Context, _ *types.ResetVM_Task) soap.HasFault {
	task := m.vcenter.task(ctx, m.Self, "ResetVM_Task", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		running := m.vcenter.guest(m.Self)
		if m.Runtime.PowerState != poweredOn || running == nil {
			return nil, m.wrongState(poweredOn)
		}
		if err := running.Reset(); err != nil {
			return nil, systemFault(err)
		}
		m.show(ctx, poweredOn)
		return nil, nil
	})
	return &methods.ResetVM_TaskBody{Res: &types.ResetVM_TaskResponse{Returnval: task}}
}

// ShutdownGuest presses the power button, which an operating system takes as a request to shut down.
func (m *machine) ShutdownGuest(*simulator.Context, *types.ShutdownGuest) soap.HasFault {
	body := &methods.ShutdownGuestBody{}
	if fault := m.ask((*guest.Guest).Powerdown); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = &types.ShutdownGuestResponse{}
	return body
}

// RebootGuest resets the guest: ACPI knows no request to reboot.
func (m *machine) RebootGuest(*simulator.Context, *types.RebootGuest) soap.HasFault {
	body := &methods.RebootGuestBody{}
	if fault := m.ask((*guest.Guest).Reset); fault != nil {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	body.Res = &types.RebootGuestResponse{}
	return body
}

// ask does what VMware Tools would do inside the guest.
func (m *machine) ask(what func(*guest.Guest) error) types.BaseMethodFault {
	running := m.vcenter.guest(m.Self)
	switch {
	case m.Runtime.PowerState != poweredOn || running == nil:
		return m.wrongState(poweredOn)
	case m.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning):
		return &types.ToolsUnavailable{}
	}
	if err := what(running); err != nil {
		return systemFault(err)
	}
	return nil
}

func (m *machine) wrongState(wanted types.VirtualMachinePowerState) types.BaseMethodFault {
	return &types.InvalidPowerState{ExistingState: m.Runtime.PowerState, RequestedState: wanted}
}

// show makes a power state, and all that hangs on it, what clients see.
func (m *machine) show(ctx *simulator.Context, state types.VirtualMachinePowerState) {
	tools, status, heart := "guestToolsNotRunning", types.VirtualMachineToolsStatusToolsNotRunning, types.ManagedEntityStatusGray
	guestState := types.VirtualMachineGuestStateNotRunning
	var boot types.AnyType
	if state == poweredOn {
		boot, guestState = time.Now(), types.VirtualMachineGuestStateRunning
		if m.vcenter.options.Tools {
			tools, status, heart = "guestToolsRunning", types.VirtualMachineToolsStatusToolsOk, types.ManagedEntityStatusGreen
		}
	}
	if !m.vcenter.options.Tools {
		status = types.VirtualMachineToolsStatusToolsNotInstalled
	}
	m.vcenter.update(ctx, m.VirtualMachine, func() []types.PropertyChange {
		changes := []types.PropertyChange{
			{Name: "runtime.powerState", Val: state},
			{Name: "summary.runtime.powerState", Val: state},
			{Name: "guest.toolsRunningStatus", Val: tools},
			{Name: "guest.toolsStatus", Val: status},
			{Name: "guest.guestState", Val: string(guestState)},
			{Name: "summary.guest.toolsRunningStatus", Val: tools},
			{Name: "summary.guest.toolsStatus", Val: status},
			{Name: "summary.quickStats.guestHeartbeatStatus", Val: heart},
			{Name: "guestHeartbeatStatus", Val: heart},
			{Name: "config.hardware.device", Val: m.connected(state == poweredOn)},
		}
		if state != suspended {
			changes = append(changes, types.PropertyChange{Name: "runtime.bootTime", Val: boot}, types.PropertyChange{Name: "summary.runtime.bootTime", Val: boot})
		}
		return changes
	})
}

// connected copies the devices, with those that start connected so or not.
func (m *machine) connected(on bool) []types.BaseVirtualDevice {
	devices := copyDevices(m.Config.Hardware.Device)
	for _, device := range devices {
		if link := device.GetVirtualDevice().Connectable; link != nil {
			link.Connected = on && link.StartConnected
		}
	}
	return devices
}

// keep remembers a running guest, and sees to it that its end is seen.
func (v *vcenter) keep(ref types.ManagedObjectReference, running *guest.Guest) {
	v.mutex.Lock()
	v.guests[ref] = running
	v.mutex.Unlock()
	go func() {
		<-running.Done()
		defer v.serialize(ref)()
		if v.guest(ref) != running {
			return // its end was our doing
		}
		v.forget(ref)
		if vm, ok := v.registry().Get(ref).(*simulator.VirtualMachine); ok {
			log.Printf("the guest of %s (%s) has shut down", ref.Value, vm.Name)
			(&machine{vm, v}).show(v.context(), poweredOff)
		}
	}()
}

// endGuests ends all guests.
func (v *vcenter) endGuests() {
	v.mutex.Lock()
	running := slices.Collect(maps.Values(v.guests))
	v.mutex.Unlock()
	for _, found := range running {
		if err := found.Kill(); err != nil {
			log.Print(err)
		}
	}
}

func (v *vcenter) guest(ref types.ManagedObjectReference) *guest.Guest {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	return v.guests[ref]
}

func (v *vcenter) forget(ref types.ManagedObjectReference) *guest.Guest {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	running := v.guests[ref]
	delete(v.guests, ref)
	return running
}

// within joins a path to its datastore's folder, and refuses one that leads out of it.
func within(root, relative, shown string) (string, types.BaseMethodFault) {
	path := filepath.Join(root, relative)
	if path != filepath.Clean(root) && !strings.HasPrefix(path, filepath.Clean(root)+string(filepath.Separator)) {
		return "", &types.InvalidDatastorePath{DatastorePath: shown}
	}
	return path, nil
}
