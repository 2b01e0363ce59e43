// Package disk keeps virtual disks as ESXi does: a text descriptor beside a flat extent with the disk's bytes.
//
// Sizes are in bytes unless a name says sectors. The descriptor's form is that of VMware's "Virtual Disk Format 5.0".
package disk

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// SectorSize is the unit in which a descriptor counts.
const SectorSize = 512

const maxDescriptorSize = 64 << 10

// Extent is one line of a descriptor's extent list.
type Extent struct {
	Access  string
	Sectors int64
	Kind    string
	File    string
}

// Descriptor is what a VMDK says about itself.
type Descriptor struct {
	CreateType string
	Extents    []Extent
	DDB        map[string]string
}

// ErrNotDisk is returned for a file that is no VMDK.
var ErrNotDisk = errors.New("not a VMDK")

var (
	extentLine = regexp.MustCompile(`^(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)")?`)
	pairLine   = regexp.MustCompile(`^([\w.]+)\s*=\s*"?([^"]*)"?$`)
)

// Read returns the descriptor of the VMDK at path, be it a file of its own or embedded in a sparse extent.
func Read(path string) (*Descriptor, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	head := make([]byte, SectorSize)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	if bytes.HasPrefix(head, []byte("KDMV")) && n == SectorSize {
		return readEmbedded(file, head)
	}
	if !bytes.HasPrefix(head, []byte("# Disk DescriptorFile")) {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), ErrNotDisk)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return parse(io.LimitReader(file, maxDescriptorSize))
}

// readEmbedded reads the descriptor inside a hosted sparse extent, whose header gives its place in sectors.
func readEmbedded(file *os.File, head []byte) (*Descriptor, error) {
	offset := int64(binary.LittleEndian.Uint64(head[28:]))
	length := int64(binary.LittleEndian.Uint64(head[36:])) * SectorSize
	if offset <= 0 || length <= 0 || length > maxDescriptorSize {
		return nil, fmt.Errorf("a sparse extent without a descriptor: %w", ErrNotDisk)
	}
	desc, err := parse(io.NewSectionReader(file, offset*SectorSize, length))
	if err != nil {
		return nil, err
	}
	capacity := int64(binary.LittleEndian.Uint64(head[12:]))
	if len(desc.Extents) == 0 {
		desc.Extents = []Extent{{Access: "RW", Sectors: capacity, Kind: "SPARSE"}}
	}
	return desc, nil
}

func parse(source io.Reader) (*Descriptor, error) {
	desc := &Descriptor{DDB: map[string]string{}}
	lines := bufio.NewScanner(source)
	for lines.Scan() {
		line := strings.TrimSpace(strings.Trim(lines.Text(), "\x00"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if m := extentLine.FindStringSubmatch(line); m != nil {
			sectors, err := strconv.ParseInt(m[2], 10, 64)
			if err != nil {
				return nil, err
			}
			desc.Extents = append(desc.Extents, Extent{Access: m[1], Sectors: sectors, Kind: m[3], File: m[4]})
			continue
		}
		if m := pairLine.FindStringSubmatch(line); m != nil {
			switch {
			case m[1] == "createType":
				desc.CreateType = m[2]
			case strings.HasPrefix(m[1], "ddb."):
				desc.DDB[strings.TrimPrefix(m[1], "ddb.")] = m[2]
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if desc.CreateType == "" {
		return nil, fmt.Errorf("a descriptor without createType: %w", ErrNotDisk)
	}
	return desc, nil
}

// Capacity is the disk's size in bytes.
func (d *Descriptor) Capacity() int64 {
	var sectors int64
	for _, extent := range d.Extents {
		sectors += extent.Sectors
	}
	return sectors * SectorSize
}

// Hosted tells whether the disk has the form of VMware's desktop products, which ESXi does not run a VM from.
func (d *Descriptor) Hosted() bool {
	switch d.CreateType {
	case "vmfs", "vmfsThin", "monolithicFlat":
		return false
	}
	return true
}

// Thin tells whether blocks are allocated on first write.
func (d *Descriptor) Thin() bool { return d.DDB["thinProvisioned"] == "1" || d.Hosted() }

// write puts the descriptor at path, replacing what was there in one step.
func (d *Descriptor) write(path string) error {
	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=%08x\nparentCID=ffffffff\ncreateType=\"%s\"\n\n",
		binary.LittleEndian.Uint32(id[:])&0xfffffffe, d.CreateType)
	out.WriteString("# Extent description\n")
	for _, extent := range d.Extents {
		fmt.Fprintf(&out, "%s %d %s \"%s\"\n", extent.Access, extent.Sectors, extent.Kind, extent.File)
	}
	out.WriteString("\n# The Disk Data Base\n#DDB\n\n")
	for _, key := range []string{"adapterType", "geometry.cylinders", "geometry.heads", "geometry.sectors", "thinProvisioned", "uuid", "virtualHWVersion"} {
		if value, ok := d.DDB[key]; ok {
			fmt.Fprintf(&out, "ddb.%s = \"%s\"\n", key, value)
		}
	}
	next := path + ".new"
	if err := os.WriteFile(next, out.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
