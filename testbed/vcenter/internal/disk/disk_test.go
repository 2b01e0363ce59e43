package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

const mib = 1 << 20

func TestANewDiskSaysWhatItIs(t *testing.T) {
	for provision, wanted := range map[Provision]struct {
		thin      bool
		allocated int64
	}{Thin: {true, 0}, Preallocated: {false, 4 * mib}, EagerZeroedThick: {false, 4 * mib}} {
		t.Run(string(provision), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "new.vmdk")
			if err := Create(path, 4*mib, provision, "ide"); err != nil {
				t.Fatal(err)
			}
			desc, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			if desc.Capacity() != 4*mib || desc.Thin() != wanted.thin || desc.Hosted() || desc.DDB["adapterType"] != "ide" {
				t.Errorf("%+v", desc)
			}
			info, err := os.Stat(FlatName(path))
			if err != nil || info.Size() != 4*mib || Allocated(info) < wanted.allocated || (wanted.thin && Allocated(info) != 0) {
				t.Errorf("%v, %d allocated, %v", info, Allocated(info), err)
			}
			if err := Create(path, 4*mib, provision, ""); !errors.Is(err, fs.ErrExist) {
				t.Errorf("made twice: %v", err)
			}
		})
	}
}

func TestADescriptorThatLeadsElsewhereIsNoDisk(t *testing.T) {
	folder := t.TempDir()
	for _, extent := range []string{"/etc/passwd", "../other-flat.vmdk", "sub/x.vmdk", ""} {
		path := filepath.Join(folder, "sly.vmdk")
		text := "# Disk DescriptorFile\ncreateType=\"vmfs\"\nRW 8 VMFS \"" + extent + "\"\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Flat(path); !errors.Is(err, ErrNotDisk) {
			t.Errorf("%q gave %q, %v", extent, got, err)
		}
		if err := Copy(context.Background(), path, filepath.Join(folder, "copy.vmdk"), Thin, ""); err == nil {
			t.Errorf("%q was copied", extent)
		}
	}
}

func TestWhatIsNoDiskIsSaidToBeNone(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{
		"empty": "", "text": "hello", "cut": "KDMV", "untyped": "# Disk DescriptorFile\nversion=1\n",
		"hollow": "KDMV" + string(make([]byte, 600)),
	} {
		path := filepath.Join(folder, name+".vmdk")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); !errors.Is(err, ErrNotDisk) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAHostedDiskHasToBeImported(t *testing.T) {
	folder := t.TempDir()
	hosted := filepath.Join(folder, "hosted.vmdk")
	if err := Create(hosted, 4*mib, SparseMonolithic, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Flat(hosted); !errors.Is(err, ErrNotRunnable) {
		t.Errorf("it can be run from: %v", err)
	}
	flat := filepath.Join(folder, "flat.vmdk")
	if err := Copy(context.Background(), hosted, flat, Thin, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Flat(flat); err != nil {
		t.Error(err)
	}
	if err := Import(context.Background(), hosted, flat, 4*mib, Thin, ""); !errors.Is(err, ErrNotDisk) {
		t.Errorf("a disk that is not streamOptimized was imported: %v", err)
	}
}

func TestADiskMovesWithItsExtent(t *testing.T) {
	folder := t.TempDir()
	one, two := filepath.Join(folder, "one.vmdk"), filepath.Join(folder, "two.vmdk")
	if err := Create(one, mib, Thin, ""); err != nil {
		t.Fatal(err)
	}
	if err := Move(one, two); err != nil {
		t.Fatal(err)
	}
	if flat, err := Flat(two); err != nil || flat != FlatName(two) {
		t.Errorf("%s, %v", flat, err)
	}
	if err := Extend(two, mib/2); err == nil {
		t.Error("it shrank")
	}
	if err := Delete(two); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
