package main

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/disk"
)

const leaseTimeout = 300 * time.Second

// lease is an HttpNfcLease whose uploads become the disks of the imported VM.
type lease struct {
	mo.HttpNfcLease
	vcenter *vcenter
	token   string

	mutex    sync.Mutex
	targets  map[string]*target
	machine  *machine
	deadline *time.Timer
}

// target is one disk that waits for its bytes.
type target struct {
	key       string
	path      string
	capacity  int64
	provision disk.Provision
	adapter   string
	sha1      string
	size      int64
}

// fail tells that the import came to nothing.
func (l *lease) fail(ctx *simulator.Context, fault types.BaseMethodFault) {
	l.vcenter.update(ctx, l, func() []types.PropertyChange {
		return []types.PropertyChange{
			{Name: "state", Val: types.HttpNfcLeaseStateError},
			{Name: "error", Val: &types.LocalizedMethodFault{Fault: fault, LocalizedMessage: sentence(fault)}},
		}
	})
}

// open makes the lease ready: one URL for each disk of the VM.
func (l *lease) open(ctx *simulator.Context, vm *machine) {
	l.machine = vm
	info := &types.HttpNfcLeaseInfo{Lease: l.Self, Entity: vm.Self, LeaseTimeout: int32(leaseTimeout / time.Second)}
	devices := object.VirtualDeviceList(vm.Config.Hardware.Device)
	for i, device := range devices.SelectByType((*types.VirtualDisk)(nil)) {
		found := device.(*types.VirtualDisk)
		backing := found.Backing.(types.BaseVirtualDeviceFileBackingInfo).GetVirtualDeviceFileBackingInfo()
		file, fault := vm.file(backing.FileName)
		if fault != nil {
			l.fail(ctx, fault)
			return
		}
		controller := devices.FindByKey(found.ControllerKey)
		name := fmt.Sprintf("disk-%d.vmdk", i)
		place := fmt.Sprintf("%s:%d", controllerName(controller), unit(found.UnitNumber))
		l.targets[name] = &target{
			key: "/" + vm.Self.Value + "/" + place, path: file, capacity: found.CapacityInBytes,
			provision: provisionOf(found), adapter: adapterOf(controller),
		}
		info.TotalDiskCapacityInKB += found.CapacityInKB
		info.DeviceUrl = append(info.DeviceUrl, types.HttpNfcLeaseDeviceUrl{
			Key: "/" + vm.Self.Value + "/" + place, ImportKey: "/" + vm.Name + "/" + place,
			Url: l.url(name), SslThumbprint: l.vcenter.thumbprint, Disk: types.NewBool(true), TargetId: name,
			DatastoreKey: path.Dir(l.url(name)),
		})
	}
	l.deadline = time.AfterFunc(leaseTimeout, l.expire)
	l.vcenter.leases.Store(l.token, l)
	l.vcenter.update(ctx, l, func() []types.PropertyChange {
		return []types.PropertyChange{
			{Name: "info", Val: info}, {Name: "initializeProgress", Val: int32(100)}, {Name: "state", Val: types.HttpNfcLeaseStateReady},
		}
	})
}

// url is where a disk is put. An ESXi host says "*" for itself: "the client must substitute".
func (l *lease) url(name string) string {
	host := l.vcenter.address
	if l.vcenter.options.ESX {
		host = "*" + host[strings.LastIndex(host, ":"):]
	}
	return "https://" + host + "/nfc/" + l.token + "/" + name
}

func controllerName(controller types.BaseVirtualDevice) string {
	if controller == nil {
		return "none0"
	}
	number := int32(0)
	if bus, ok := controller.(types.BaseVirtualController); ok {
		number = bus.GetVirtualController().BusNumber
	}
	return fmt.Sprintf("%s%d", reflect.TypeOf(controller).Elem().Name(), number)
}

// HttpNfcLeaseProgress keeps the lease alive.
func (l *lease) HttpNfcLeaseProgress(ctx *simulator.Context, req *types.HttpNfcLeaseProgress) soap.HasFault {
	if l.deadline != nil {
		l.deadline.Reset(leaseTimeout)
	}
	l.vcenter.update(ctx, l, func() []types.PropertyChange {
		return []types.PropertyChange{{Name: "transferProgress", Val: req.Percent}}
	})
	return &methods.HttpNfcLeaseProgressBody{Res: &types.HttpNfcLeaseProgressResponse{}}
}

// HttpNfcLeaseComplete ends the lease; the VM stays.
func (l *lease) HttpNfcLeaseComplete(ctx *simulator.Context, req *types.HttpNfcLeaseComplete) soap.HasFault {
	body := &methods.HttpNfcLeaseCompleteBody{}
	if l.State != types.HttpNfcLeaseStateReady {
		body.Fault_ = simulator.Fault("the lease is not ready", &types.InvalidState{})
		return body
	}
	l.close(ctx, types.HttpNfcLeaseStateDone)
	l.vcenter.store.settle(l.machine.Self)
	ctx.Session.Remove(ctx, req.This)
	body.Res = &types.HttpNfcLeaseCompleteResponse{}
	return body
}

// HttpNfcLeaseAbort ends the lease, and deletes the VM.
func (l *lease) HttpNfcLeaseAbort(ctx *simulator.Context, req *types.HttpNfcLeaseAbort) soap.HasFault {
	l.close(ctx, types.HttpNfcLeaseStateError)
	l.discard()
	ctx.Session.Remove(ctx, req.This)
	return &methods.HttpNfcLeaseAbortBody{Res: &types.HttpNfcLeaseAbortResponse{}}
}

// HttpNfcLeaseGetManifest lists what was uploaded.
func (l *lease) HttpNfcLeaseGetManifest(*simulator.Context, *types.HttpNfcLeaseGetManifest) soap.HasFault {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	reply := &types.HttpNfcLeaseGetManifestResponse{}
	for _, got := range l.targets {
		if got.sha1 != "" {
			reply.Returnval = append(reply.Returnval, types.HttpNfcLeaseManifestEntry{
				Key: got.key, Sha1: got.sha1, Size: got.size, Disk: true, Capacity: got.capacity,
			})
		}
	}
	return &methods.HttpNfcLeaseGetManifestBody{Res: reply}
}

func (l *lease) close(ctx *simulator.Context, state types.HttpNfcLeaseState) {
	if l.deadline != nil {
		l.deadline.Stop()
	}
	l.vcenter.leases.Delete(l.token)
	l.vcenter.update(ctx, l, func() []types.PropertyChange {
		return []types.PropertyChange{{Name: "state", Val: state}}
	})
}

// expire is called when the client has not been heard of for the lease's time.
func (l *lease) expire() {
	l.vcenter.leases.Delete(l.token)
	l.fail(l.vcenter.context(), &types.Timedout{})
	l.discard()
}

func (l *lease) discard() {
	if l.machine == nil {
		return
	}
	defer l.vcenter.serialize(l.machine.Self)()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_ = l.machine.destroy(l.vcenter.context())
}

// serveNFC takes the uploads.
func (v *vcenter) serveNFC(w http.ResponseWriter, r *http.Request) {
	token, name := path.Split(strings.TrimPrefix(r.URL.Path, "/nfc/"))
	found, ok := v.leases.Load(strings.Trim(token, "/"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	held := found.(*lease)
	wanted, ok := held.targets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPut && r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if err := held.receive(r.Context(), wanted, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	v.measureAll()
	w.WriteHeader(http.StatusCreated)
}

// receive stores one upload, and makes it the VM's disk.
func (l *lease) receive(ctx context.Context, wanted *target, body io.Reader) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	upload, err := os.CreateTemp(filepath.Dir(wanted.path), ".upload-*.vmdk")
	if err != nil {
		return err
	}
	defer os.Remove(upload.Name())
	defer upload.Close()
	digest := sha1.New()
	size, err := io.Copy(io.MultiWriter(upload, digest), body)
	if err != nil {
		return fmt.Errorf("the upload broke off after %d bytes: %w", size, err)
	}
	if err := disk.Import(ctx, upload.Name(), wanted.path, wanted.capacity, wanted.provision, wanted.adapter); err != nil {
		return err
	}
	wanted.sha1, wanted.size = hex.EncodeToString(digest.Sum(nil)), size
	return nil
}
