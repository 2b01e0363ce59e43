package main

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"syscall"
	"unicode"

	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/disk"
)

// systemFault is vCenter's for what no other fault describes.
func systemFault(err error) types.BaseMethodFault {
	return &types.SystemError{RuntimeFault: types.RuntimeFault{MethodFault: said(err.Error())}, Reason: err.Error()}
}

// said carries a sentence in a fault, as ESXi does with its messages.
func said(sentence string) types.MethodFault {
	return types.MethodFault{FaultMessage: []types.LocalizableMessage{{Key: "polyvisor.test", Message: sentence}}}
}

// fileFault chooses the fault for an error with the datastore path name.
func fileFault(name string, err error) types.BaseMethodFault {
	base := types.FileFault{File: name}
	cause := err
	var path *fs.PathError
	if errors.As(err, &path) {
		cause = path.Err // the path on this machine is nobody's business
	}
	base.MethodFault = said(fmt.Sprintf("%s: %s", name, cause))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &types.FileNotFound{FileFault: base}
	case errors.Is(err, fs.ErrExist):
		return &types.FileAlreadyExists{FileFault: base}
	case errors.Is(err, syscall.ENOSPC):
		return &types.NoDiskSpace{FileFault: base}
	case errors.Is(err, disk.ErrNotDisk):
		return &types.InvalidDiskFormat{InvalidFormat: types.InvalidFormat{VmConfigFault: types.VmConfigFault{VimFault: types.VimFault{MethodFault: base.MethodFault}}}}
	case strings.Contains(err.Error(), `Failed to get "`):
		return &types.FileLocked{FileFault: base}
	}
	return &types.CannotAccessFile{FileFault: base}
}

// configFault is what ESXi gives when a VM's configuration cannot be run.
func configFault(err error) types.BaseMethodFault {
	fault := &types.GenericVmConfigFault{Reason: err.Error()}
	fault.MethodFault = said(err.Error())
	return fault
}

// sentence is what a fault says to a person: its own message, or its name in words with what it is about.
func sentence(fault types.BaseMethodFault) string {
	if said := fault.GetMethodFault().FaultMessage; len(said) > 0 && said[0].Message != "" {
		return said[0].Message
	}
	words := inWords(reflect.TypeOf(fault).Elem().Name())
	switch found := fault.(type) {
	case *types.InvalidPowerState:
		return fmt.Sprintf("%s: it is %s, and %s is asked for.", words, found.ExistingState, found.RequestedState)
	case *types.InvalidArgument:
		return fmt.Sprintf("%s: %s.", words, found.InvalidProperty)
	case *types.DuplicateName:
		return fmt.Sprintf("%s: %s is taken.", words, found.Name)
	case *types.InvalidDatastore:
		return fmt.Sprintf("%s: %s.", words, found.Name)
	case *types.InvalidDatastorePath:
		return fmt.Sprintf("%s: %s.", words, found.DatastorePath)
	case types.BaseFileFault:
		return fmt.Sprintf("%s: %s.", words, found.GetFileFault().File)
	}
	return words + "."
}

// inWords turns InvalidPowerState into "Invalid power state".
func inWords(name string) string {
	var out strings.Builder
	for i, letter := range name {
		if i > 0 && unicode.IsUpper(letter) {
			out.WriteByte(' ')
			letter = unicode.ToLower(letter)
		}
		out.WriteRune(letter)
	}
	return out.String()
}
