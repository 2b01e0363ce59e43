package main

import (
	"os"
	"path/filepath"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// fileManager is FileManager within the bounds of the datastores.
type fileManager struct {
	*simulator.FileManager
	vcenter *vcenter
}

func (f *fileManager) run(ctx *simulator.Context, datacenter *types.ManagedObjectReference, method string, work func() types.BaseMethodFault) types.ManagedObjectReference {
	return f.vcenter.task(ctx, f.vcenter.datacenterOf(datacenter), method, func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return nil, work()
	})
}

// MakeDirectory makes a folder.
func (f *fileManager) MakeDirectory(_ *simulator.Context, req *types.MakeDirectory) soap.HasFault {
	body := &methods.MakeDirectoryBody{}
	path, _, fault := f.vcenter.find(req.Datacenter, req.Name)
	if fault == nil {
		if parents := req.CreateParentDirectories; parents != nil && *parents {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				fault = fileFault(req.Name, err)
			}
		}
	}
	if fault == nil {
		if err := os.Mkdir(path, 0o700); err != nil {
			fault = fileFault(req.Name, err)
		}
	}
	if fault != nil {
		body.Fault_ = simulator.Fault(sentence(fault), fault)
		return body
	}
	body.Res = &types.MakeDirectoryResponse{}
	return body
}

// DeleteDatastoreFileTask deletes a file, or a folder with all that is in it.
func (f *fileManager) DeleteDatastoreFileTask(ctx *simulator.Context, req *types.DeleteDatastoreFile_Task) soap.HasFault {
	task := f.run(ctx, req.Datacenter, "DeleteDatastoreFile_Task", func() types.BaseMethodFault {
		path, _, fault := f.vcenter.find(req.Datacenter, req.Name)
		if fault != nil {
			return fault
		}
		if _, err := os.Lstat(path); err != nil {
			return fileFault(req.Name, err)
		}
		if err := os.RemoveAll(path); err != nil {
			return fileFault(req.Name, err)
		}
		return nil
	})
	return &methods.DeleteDatastoreFile_TaskBody{Res: &types.DeleteDatastoreFile_TaskResponse{Returnval: task}}
}

// MoveDatastoreFileTask renames a file or folder.
func (f *fileManager) MoveDatastoreFileTask(ctx *simulator.Context, req *types.MoveDatastoreFile_Task) soap.HasFault {
	task := f.run(ctx, req.SourceDatacenter, "MoveDatastoreFile_Task", func() types.BaseMethodFault {
		source, target, fault := f.pair(req.SourceDatacenter, req.SourceName, req.DestinationDatacenter, req.DestinationName, req.Force)
		if fault != nil {
			return fault
		}
		if err := os.Rename(source, target); err != nil {
			return fileFault(req.SourceName, err)
		}
		return nil
	})
	return &methods.MoveDatastoreFile_TaskBody{Res: &types.MoveDatastoreFile_TaskResponse{Returnval: task}}
}

// CopyDatastoreFileTask copies a file or folder.
func (f *fileManager) CopyDatastoreFileTask(ctx *simulator.Context, req *types.CopyDatastoreFile_Task) soap.HasFault {
	task := f.run(ctx, req.SourceDatacenter, "CopyDatastoreFile_Task", func() types.BaseMethodFault {
		source, target, fault := f.pair(req.SourceDatacenter, req.SourceName, req.DestinationDatacenter, req.DestinationName, req.Force)
		if fault != nil {
			return fault
		}
		info, err := os.Stat(source)
		switch {
		case err != nil:
		case info.IsDir():
			err = os.CopyFS(target, os.DirFS(source))
		default:
			err = copyFile(source, target)
		}
		if err != nil {
			return fileFault(req.SourceName, err)
		}
		return nil
	})
	return &methods.CopyDatastoreFile_TaskBody{Res: &types.CopyDatastoreFile_TaskResponse{Returnval: task}}
}

// pair finds source and target; an existing target is in the way unless forced, when it goes.
func (f *fileManager) pair(sourceDC *types.ManagedObjectReference, sourceName string, targetDC *types.ManagedObjectReference,
	targetName string, force *bool) (source, target string, fault types.BaseMethodFault) {
	if targetDC == nil {
		targetDC = sourceDC
	}
	if source, _, fault = f.vcenter.find(sourceDC, sourceName); fault != nil {
		return source, target, fault
	}
	if target, _, fault = f.vcenter.find(targetDC, targetName); fault != nil {
		return source, target, fault
	}
	if _, err := os.Lstat(source); err != nil {
		return source, target, fileFault(sourceName, err)
	}
	if _, err := os.Lstat(target); err == nil && source != target {
		if force == nil || !*force {
			return source, target, fileFault(targetName, os.ErrExist)
		}
		if err := os.RemoveAll(target); err != nil {
			return source, target, fileFault(targetName, err)
		}
	}
	return source, target, nil
}
