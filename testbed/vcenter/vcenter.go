package main

import (
	"fmt"
	"log"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/guest"
)

// vcenter is the test vCenter: the simulator, and what we put before and behind it.
type vcenter struct {
	options    Options
	service    *simulator.Service
	fleet      guest.Fleet
	injections injections
	store      *store
	ports      ports
	leases     sync.Map // of *lease, by the secret in its URLs

	address    string // host:port
	thumbprint string

	mutex  sync.Mutex
	guests map[types.ManagedObjectReference]*guest.Guest
	busy   map[types.ManagedObjectReference]*sync.Mutex
}

func newVCenter(options Options, accelerator guest.Accelerator) (*vcenter, error) {
	model := simulator.VPX()
	if options.ESX {
		model = simulator.ESX()
	}
	model.Datacenter, model.Portgroup, model.Host, model.Cluster, model.Datastore, model.Machine = 0, 0, 0, 0, 0, 0
	if err := model.Create(); err != nil {
		return nil, err
	}
	v := &vcenter{
		options: options,
		service: model.Service,
		fleet: guest.Fleet{
			Folder: filepath.Join(options.Data, "guests"), Accelerator: accelerator,
			Plug: options.plug(), DieWithMe: options.GuestsDie,
		},
		ports:  ports{own: map[string]portSetting{}},
		guests: map[types.ManagedObjectReference]*guest.Guest{},
		busy:   map[types.ManagedObjectReference]*sync.Mutex{},
	}
	if err := v.build(); err != nil {
		return nil, fmt.Errorf("cannot build the inventory: %w", err)
	}
	if err := v.identify(); err != nil {
		return nil, err
	}
	if err := v.openStore(); err != nil {
		return nil, err
	}
	if err := v.restore(); err != nil {
		return nil, err
	}
	v.registry().Handler = v.handler
	v.registry().AddHandler(&watcher{v})
	return v, nil
}

func (v *vcenter) registry() *simulator.Registry { return v.service.Context.Map }

// context is one to work with outside of any client's call. Locks belong to contexts, so every piece of work takes its own.
func (v *vcenter) context() *simulator.Context {
	ctx := *v.service.Context
	return &ctx
}

// update changes properties of an object under its lock, which is let go even if a change does not fit the object.
func (v *vcenter) update(ctx *simulator.Context, object mo.Reference, changes func() []types.PropertyChange) {
	defer ctx.Map.AcquireLock(ctx, object)()
	ctx.Map.Update(ctx, object, changes())
}

// handler puts our own object before the simulator's for the calls that ours answers better. The registry keeps the
// simulator's, whose code relies on its own types.
func (v *vcenter) handler(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session != nil && ctx.Session.UserName == "" {
		return nil, nil // the simulator's own, from within
	}
	if trouble := v.injections.take(method.Name, actionFault); trouble != nil {
		return nil, trouble.fault()
	}
	ours := v.ours(ctx.Map.Get(method.This))
	if ours == nil || ctx.Session == nil {
		return nil, nil
	}
	// The simulator prefers what the session knows by this reference, which would be its own object: name ours differently.
	method.This.Value += "@test-vcenter"
	return ours, nil
}

func (v *vcenter) ours(theirs mo.Reference) mo.Reference {
	switch found := theirs.(type) {
	case *simulator.VirtualMachine:
		return &machine{found, v}
	case *simulator.Folder:
		return &folder{found, v}
	case *simulator.Datastore:
		return &datastore{found, v}
	case *simulator.VirtualDiskManager:
		return &diskManager{found, v}
	case *simulator.FileManager:
		return &fileManager{found, v}
	case *simulator.ResourcePool:
		return &pool{found, v}
	case *simulator.Datacenter:
		return &datacenter{found, v}
	case *simulator.HostSystem:
		return &host{found, v}
	case *simulator.DistributedVirtualSwitch:
		return &distributedSwitch{found, v}
	case *simulator.DistributedVirtualPortgroup:
		return &portgroup{found, v}
	case *simulator.HostNetworkSystem:
		return &hostNetwork{found, v}
	}
	return nil
}

// taskWork is what a task does. Its context holds no lock, and its result and fault are the task's.
type taskWork func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault)

// task runs work as the entity's task for a method such as PowerOnVM_Task, one at a time for each entity. The simulator's own tasks lock their
// entity while they run, and whoever reads its properties waits; ours may take long, so they lock only what they write.
func (v *vcenter) task(ctx *simulator.Context, entity types.ManagedObjectReference, method string, work taskWork) types.ManagedObjectReference {
	own := v.context()
	own.Session = ctx.Session
	task := simulator.CreateTask(entity, method, func(*simulator.Task) (result types.AnyType, fault types.BaseMethodFault) {
		defer v.serialize(entity)()
		defer func() {
			if panicked := recover(); panicked != nil {
				log.Printf("%s panicked: %v\n%s", method, panicked, debug.Stack())
				result, fault = nil, systemFault(fmt.Errorf("the test vCenter failed in %s: %v", method, panicked))
			}
		}()
		if trouble := v.injections.take(method, actionTaskFault); trouble != nil {
			return nil, trouble.fault()
		}
		result, fault = work(own)
		v.store.mark(entity)
		if made, ok := result.(types.ManagedObjectReference); ok {
			v.store.mark(made)
		}
		return result, fault
	})
	task.Info.Name, task.Info.DescriptionId = method, describe(entity.Type, method)
	task.Info.Entity = &types.ManagedObjectReference{Type: entity.Type, Value: entity.Value + "-" + uuid.NewString()}
	ref := task.Run(own)
	own.Map.AtomicUpdate(v.context(), task, []types.PropertyChange{{Name: "info.entity", Val: entity}})
	return ref
}

// describe is a task's descriptionId: "VirtualMachine.powerOn" for PowerOnVM_Task.
func describe(kind, method string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(method, "_Task"), "VM")
	return kind + "." + strings.ToLower(name[:1]) + name[1:]
}

// serialize waits for the work on this entity, and returns how to end our own.
func (v *vcenter) serialize(entity types.ManagedObjectReference) func() {
	v.mutex.Lock()
	mutex := v.busy[entity]
	if mutex == nil {
		mutex = &sync.Mutex{}
		v.busy[entity] = mutex
	}
	v.mutex.Unlock()
	mutex.Lock()
	return mutex.Unlock
}

// await returns the outcome of a task that the simulator runs for us.
func (v *vcenter) await(ref types.ManagedObjectReference) (types.AnyType, types.BaseMethodFault) {
	task := v.registry().Get(ref).(*simulator.Task)
	task.Wait()
	if task.Info.Error != nil {
		return nil, task.Info.Error.Fault
	}
	return task.Info.Result, nil
}
