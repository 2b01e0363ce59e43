package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Provision is how a disk takes its space: VirtualDiskType's values in VMware's API.
type Provision string

// The kinds of VirtualDiskType that a datastore of ours can hold.
const (
	Thin             Provision = "thin"
	Preallocated     Provision = "preallocated"
	EagerZeroedThick Provision = "eagerZeroedThick"
	SparseMonolithic Provision = "sparseMonolithic"
)

// FlatName is the name of the extent that holds the bytes of the disk at path.
func FlatName(path string) string { return strings.TrimSuffix(path, ".vmdk") + "-flat.vmdk" }

// Create makes an empty disk at path, which must end in .vmdk and must not exist.
func Create(path string, capacity int64, provision Provision, adapter string) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if provision == SparseMonolithic {
		return image("create", "-q", "-f", "vmdk", "-o", "subformat=monolithicSparse", path, strconv.FormatInt(capacity, 10))
	}
	if err := makeFlat(FlatName(path), capacity, provision); err != nil {
		return err
	}
	return describe(path, capacity, provision, adapter)
}

func makeFlat(path string, capacity int64, provision Provision) error {
	flat, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer flat.Close()
	if err := flat.Truncate(capacity); err != nil {
		return err
	}
	return allocate(flat, capacity, provision)
}

// allocate takes the blocks of a thick disk. They read as zeros, so lazily and eagerly zeroed come to the same.
func allocate(flat *os.File, capacity int64, provision Provision) error {
	if provision == Thin || capacity == 0 {
		return nil
	}
	return syscall.Fallocate(int(flat.Fd()), 0, 0, capacity)
}

func describe(path string, capacity int64, provision Provision, adapter string) error {
	sectors := capacity / SectorSize
	heads, track := int64(255), int64(63)
	if adapter == "" {
		adapter = "lsilogic"
	}
	if adapter == "ide" {
		heads = 16
	}
	ddb := map[string]string{
		"adapterType":        adapter,
		"geometry.cylinders": strconv.FormatInt(max(sectors/(heads*track), 1), 10),
		"geometry.heads":     strconv.FormatInt(heads, 10),
		"geometry.sectors":   strconv.FormatInt(track, 10),
		"virtualHWVersion":   "13",
	}
	if provision == Thin {
		ddb["thinProvisioned"] = "1"
	}
	desc := Descriptor{
		CreateType: "vmfs",
		Extents:    []Extent{{Access: "RW", Sectors: sectors, Kind: "VMFS", File: filepath.Base(FlatName(path))}},
		DDB:        ddb,
	}
	return desc.write(path)
}

// Flat returns the file with the disk's raw bytes. It fails with ErrNotRunnable for a form that ESXi cannot run from.
func Flat(path string) (string, error) {
	desc, err := Read(path)
	if err != nil {
		return "", err
	}
	if desc.Hosted() || len(desc.Extents) != 1 {
		return "", fmt.Errorf("%s is %s: %w", filepath.Base(path), desc.CreateType, ErrNotRunnable)
	}
	return extentPath(path, desc.Extents[0])
}

// ErrNotRunnable is returned for a disk in a hosted form (sparse, streamOptimized), which has to be imported first.
var ErrNotRunnable = errors.New("unsupported or invalid disk type")

// extentPath refuses a descriptor that names a file outside its own folder.
func extentPath(path string, extent Extent) (string, error) {
	if extent.File == "" || filepath.Base(extent.File) != extent.File {
		return "", fmt.Errorf("%s names the extent %q, which is not a file beside it: %w", filepath.Base(path), extent.File, ErrNotDisk)
	}
	return filepath.Join(filepath.Dir(path), extent.File), nil
}

// Files lists the descriptor and its extents, those that exist or not.
func Files(path string) ([]string, error) {
	desc, err := Read(path)
	if err != nil {
		return nil, err
	}
	files := []string{path}
	for _, extent := range desc.Extents {
		if extent.File == "" || extent.File == filepath.Base(path) || desc.embedded() {
			continue
		}
		file, err := extentPath(path, extent)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// embedded tells whether descriptor and bytes are one file.
func (d *Descriptor) embedded() bool {
	return d.CreateType == "monolithicSparse" || d.CreateType == "streamOptimized"
}

// Delete removes the disk with its extents.
func Delete(path string) error {
	files, err := Files(path)
	if errors.Is(err, ErrNotDisk) {
		files = []string{path}
	} else if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Copy writes the disk at source to target, in the wanted form. Only allocated bytes are read, and holes stay holes.
func Copy(ctx context.Context, source, target string, provision Provision, adapter string) (err error) {
	desc, err := Read(source)
	if err != nil {
		return err
	}
	if adapter == "" {
		adapter = desc.DDB["adapterType"]
	}
	if _, err := Files(source); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(target)
			_ = os.Remove(FlatName(target))
		}
	}()
	if provision == SparseMonolithic {
		return imageContext(ctx, "convert", "-q", "-f", "vmdk", "-O", "vmdk", "-o", "subformat=monolithicSparse", source, target)
	}
	flat := FlatName(target)
	if err := imageContext(ctx, "convert", "-q", "-f", "vmdk", "-O", "raw", source, flat); err != nil {
		return err
	}
	if err := makeFlat(flat, desc.Capacity(), provision); err != nil {
		return err
	}
	return describe(target, desc.Capacity(), provision, adapter)
}

// Move renames the disk with its flat extent.
func Move(source, target string) error {
	desc, err := Read(source)
	if err != nil {
		return err
	}
	if desc.embedded() {
		return os.Rename(source, target)
	}
	flat, err := Flat(source)
	if err != nil {
		return err
	}
	if err := os.Rename(flat, FlatName(target)); err != nil {
		return err
	}
	desc.Extents[0].File = filepath.Base(FlatName(target))
	if err := desc.write(target); err != nil {
		return err
	}
	if target == source {
		return nil
	}
	return os.Remove(source)
}

// Extend makes the disk larger; a thick one takes its new blocks at once.
func Extend(path string, capacity int64) error {
	desc, err := Read(path)
	if err != nil {
		return err
	}
	if capacity < desc.Capacity() {
		return fmt.Errorf("%s has %d bytes and cannot shrink to %d", filepath.Base(path), desc.Capacity(), capacity)
	}
	return resize(path, desc, capacity, desc.Thin())
}

// Inflate turns a thin disk into a thick one.
func Inflate(path string) error {
	desc, err := Read(path)
	if err != nil {
		return err
	}
	delete(desc.DDB, "thinProvisioned")
	return resize(path, desc, desc.Capacity(), false)
}

func resize(path string, desc *Descriptor, capacity int64, thin bool) error {
	flat, err := Flat(path)
	if err != nil {
		return err
	}
	provision := Preallocated
	if thin {
		provision = Thin
	}
	if err := makeFlat(flat, capacity, provision); err != nil {
		return err
	}
	desc.Extents[0].Sectors = capacity / SectorSize
	return desc.write(path)
}

// Allocated is the number of bytes that a file takes on its datastore.
func Allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * SectorSize
	}
	return info.Size()
}

func image(arguments ...string) error { return imageContext(context.Background(), arguments...) }

func imageContext(ctx context.Context, arguments ...string) error {
	out, err := exec.CommandContext(ctx, "qemu-img", arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("qemu-img %s: %w: %s", arguments[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Import makes the streamOptimized VMDK at upload the content of the disk at target, whose capacity stays.
func Import(ctx context.Context, upload, target string, capacity int64, provision Provision, adapter string) error {
	desc, err := Read(upload)
	if err != nil {
		return err
	}
	if desc.CreateType != "streamOptimized" {
		return fmt.Errorf("the upload is %s, not streamOptimized: %w", desc.CreateType, ErrNotDisk)
	}
	if desc.Capacity() > capacity {
		return fmt.Errorf("the upload has %d bytes, the disk %d", desc.Capacity(), capacity)
	}
	if err := Delete(target); err != nil {
		return err
	}
	if err := Copy(ctx, upload, target, provision, adapter); err != nil {
		return err
	}
	return Extend(target, capacity)
}
