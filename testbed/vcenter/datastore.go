package main

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/disk"
)

const (
	maxFileSize  = 62 << 40
	measureEvery = 15 * time.Second
)

// vmfs turns the datastore into a VMFS volume of the capacity that the options give.
func (b builder) vmfs(ref types.ManagedObjectReference, shared bool) {
	store := b.registry().Get(ref).(*simulator.Datastore)
	info := *store.Info.GetDatastoreInfo()
	info.MaxFileSize, info.MaxVirtualDiskCapacity = maxFileSize, maxFileSize
	capacity := b.options.DatastoreCapacity << 30
	store.Info = &types.VmfsDatastoreInfo{DatastoreInfo: info, MaxPhysicalRDMFileSize: maxFileSize, MaxVirtualRDMFileSize: maxFileSize,
		Vmfs: &types.HostVmfsVolume{
			HostFileSystemVolume: types.HostFileSystemVolume{Type: "VMFS", Name: store.Name, Capacity: capacity},
			BlockSizeMb:          1, MaxBlocks: 63 << 20, MajorVersion: 6, Version: "6.82", Uuid: store.Self.Value,
			Local: types.NewBool(!shared),
		}}
	store.Summary.Type = string(types.HostFileSystemVolumeFileSystemTypeVMFS)
	store.Summary.MultipleHostAccess = types.NewBool(shared)
	store.Summary.Capacity = capacity
	b.measure(b.context(), store)
}

// measure sets the free space to what the files' allocated blocks leave.
func (v *vcenter) measure(ctx *simulator.Context, store *simulator.Datastore) {
	used := allocated(store.Summary.Url)
	capacity := v.options.DatastoreCapacity << 30
	v.update(ctx, store, func() []types.PropertyChange {
		free := max(capacity-used, 0)
		if store.Summary.FreeSpace == free && store.Summary.Capacity == capacity {
			return nil
		}
		store.Info.GetDatastoreInfo().FreeSpace = free
		store.Info.GetDatastoreInfo().Timestamp = types.NewTime(time.Now())
		return []types.PropertyChange{{Name: "summary.capacity", Val: capacity}, {Name: "summary.freeSpace", Val: free}}
	})
}

// measureAll is called when files may have changed.
func (v *vcenter) measureAll() {
	for _, entity := range v.registry().All("Datastore") {
		if store, ok := entity.(*simulator.Datastore); ok {
			v.measure(v.context(), store)
		}
	}
}

// measureUntil looks at the datastores from time to time: running guests fill thin disks.
func (v *vcenter) measureUntil(ctx context.Context) {
	clock := time.NewTicker(measureEvery)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
			v.measureAll()
		}
	}
}

// serveFolder is the datastores' HTTP access. An upload that says it is larger than the free space is refused at once.
func (v *vcenter) serveFolder(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut || r.Method == http.MethodPost {
		store := v.storeNamed(r.URL.Query().Get("dcPath"), r.URL.Query().Get("dsName"))
		if store != nil && r.ContentLength > store.Summary.FreeSpace {
			http.Error(w, "The datastore has not enough free space.", http.StatusInsufficientStorage)
			return
		}
		defer v.measureAll()
	}
	v.service.ServeDatastore(w, r)
}

// storeNamed finds a datastore by its name in the datacenter whose path is given, or in the only one.
func (v *vcenter) storeNamed(datacenterPath, name string) *simulator.Datastore {
	for _, entity := range v.registry().All("Datacenter") {
		found, ok := entity.(*simulator.Datacenter)
		if ok && (datacenterPath == "" || path.Base(datacenterPath) == found.Name) {
			store, _ := v.registry().FindByName(name, found.Datastore).(*simulator.Datastore)
			return store
		}
	}
	return nil
}

func allocated(folder string) int64 {
	var used int64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it went away while we looked
		}
		if info, err := entry.Info(); err == nil {
			used += disk.Allocated(info)
		}
		return nil
	})
	return used
}

// datastore adds to the simulator's what a volume with a size has.
type datastore struct {
	*simulator.Datastore
	vcenter *vcenter
}

// RefreshDatastore measures anew; the simulator's own would make every datastore a terabyte per host.
func (d *datastore) RefreshDatastore(ctx *simulator.Context, _ *types.RefreshDatastore) soap.HasFault {
	d.vcenter.measure(ctx, d.Datastore)
	return &methods.RefreshDatastoreBody{Res: &types.RefreshDatastoreResponse{}}
}

// RefreshDatastoreStorageInfo does the same for this volume and its virtual machines.
func (d *datastore) RefreshDatastoreStorageInfo(ctx *simulator.Context, _ *types.RefreshDatastoreStorageInfo) soap.HasFault {
	d.vcenter.measure(ctx, d.Datastore)
	return &methods.RefreshDatastoreStorageInfoBody{Res: &types.RefreshDatastoreStorageInfoResponse{}}
}

// datastoreOf is the datastore that a path of a host names, or nil.
func (v *vcenter) datastoreOf(host *simulator.HostSystem, name string) *simulator.Datastore {
	var parsed object.DatastorePath
	if !parsed.FromString(name) {
		return nil
	}
	store, _ := v.registry().FindByName(parsed.Datastore, host.Datastore).(*simulator.Datastore)
	return store
}

// parentOf is the folder of a datastore path: "[datastore1] vm" for "[datastore1] vm/vm.vmx".
func parentOf(name string) string {
	var parsed object.DatastorePath
	parsed.FromString(name)
	parsed.Path = filepath.Dir(parsed.Path)
	return parsed.String()
}

// copyFile copies a file between datastores.
func copyFile(source, target string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}
