package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// keptKinds are what the inventory holds beyond what the options make anew at each start.
var keptKinds = map[string]bool{
	"VirtualMachine": true, "Folder": true, "ClusterComputeResource": true, "CustomFieldsManager": true,
	"DistributedVirtualPortgroup": true, "Network": true, "HostNetworkSystem": true,
}

// store keeps the inventory in one file per object. What has changed is written before the first answer that could tell
// of it; the file system's cache is enough for that, since it is the process that may be killed.
type store struct {
	folder  string
	client  *vim25.Client
	present func(types.ManagedObjectReference) bool
	base    map[types.ManagedObjectReference]bool

	flushing sync.Mutex
	mutex    sync.Mutex
	dirty    map[types.ManagedObjectReference]bool
	held     map[types.ManagedObjectReference]bool
	highest  int64
}

// unfinished ends the name of the file that tells of a VM that is being made: the folder of its files. A start that finds
// one removes that folder.
const unfinished = ".unfinished"

// openStore is called when the inventory of the options has been built, which is not kept.
func (v *vcenter) openStore() error {
	client, err := vim25.NewClient(context.Background(), v.service)
	if err != nil {
		return err
	}
	v.store = &store{
		folder: filepath.Join(v.options.Data, "inventory"), client: client,
		present: func(ref types.ManagedObjectReference) bool { return v.registry().Get(ref) != nil },
		base:    map[types.ManagedObjectReference]bool{},
		dirty:   map[types.ManagedObjectReference]bool{},
		held:    map[types.ManagedObjectReference]bool{},
	}
	for _, entity := range v.registry().All("Folder") {
		v.store.base[entity.Reference()] = true
	}
	return os.MkdirAll(v.store.folder, 0o700)
}

// mark notes that an object may have changed.
func (s *store) mark(ref types.ManagedObjectReference) {
	if s == nil || !keptKinds[ref.Type] || s.base[ref] {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.dirty[ref] = true
	if number := numberOf(ref); number > s.highest {
		s.highest = number
	}
}

// hold notes that a VM is being made in the folder home. It is not read until it is settled: the
// simulator writes it without a lock.
func (s *store) hold(ref types.ManagedObjectReference, home string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.held[ref] = true
	if err := replace(s.path(ref)+unfinished, []byte(home)); err != nil {
		log.Fatalf("cannot keep %s: %v", ref, err)
	}
}

func (s *store) path(ref types.ManagedObjectReference) string {
	return filepath.Join(s.folder, ref.Type+"."+ref.Value)
}

// settle notes that a VM is finished.
func (s *store) settle(ref types.ManagedObjectReference) {
	s.release(ref)
	s.mark(ref)
}

func (s *store) release(ref types.ManagedObjectReference) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.held, ref)
}

func (s *store) holds(ref types.ManagedObjectReference) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.held[ref]
}

// numberOf is the counter's part of a reference: 41 of vm-41.
func numberOf(ref types.ManagedObjectReference) int64 {
	digits := strings.TrimLeft(ref.Value, "abcdefghijklmnopqrstuvwxyz-")
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return number
}

// flush writes what has changed.
func (s *store) flush() {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mutex.Lock()
	dirty, highest := s.dirty, s.highest
	s.dirty = map[types.ManagedObjectReference]bool{}
	s.mutex.Unlock()
	if len(dirty) == 0 {
		return
	}
	for ref := range dirty {
		if err := s.keep(ref); err != nil {
			log.Fatalf("cannot keep %s: %v", ref, err) // to go on would be to forget it
		}
	}
	if err := replace(filepath.Join(s.folder, "counter"), []byte(strconv.FormatInt(highest, 10))); err != nil {
		log.Fatalf("cannot keep the counter: %v", err)
	}
}

// keep writes an object's properties, or removes its file if it is gone.
func (s *store) keep(ref types.ManagedObjectReference) error {
	path := s.path(ref)
	if s.holds(ref) && s.present(ref) {
		return nil
	}
	content, err := s.read(ref)
	if err != nil {
		return err
	}
	if content == nil {
		s.release(ref)
		return errors.Join(remove(path+".xml"), remove(path+unfinished))
	}
	var text bytes.Buffer
	if err := xml.NewEncoder(&text).Encode(content); err != nil {
		return err
	}
	if err := replace(path+".xml", text.Bytes()); err != nil {
		return err
	}
	return remove(path + unfinished)
}

// remove removes a file that may be gone already.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// read returns all properties of an object, or nil if there is none.
func (s *store) read(ref types.ManagedObjectReference) (*types.ObjectContent, error) {
	answer, err := methods.RetrieveProperties(context.Background(), s.client, &types.RetrieveProperties{
		This: s.client.ServiceContent.PropertyCollector,
		SpecSet: []types.PropertyFilterSpec{{
			ObjectSet:                     []types.ObjectSpec{{Obj: ref}},
			PropSet:                       []types.PropertySpec{{Type: ref.Type, All: types.NewBool(true)}},
			ReportMissingObjectsInResults: types.NewBool(true),
		}},
	})
	if err != nil {
		return nil, err
	}
	if len(answer.Returnval) == 0 {
		return nil, nil
	}
	return &answer.Returnval[0], nil
}

// load returns what an earlier process has kept, by kind.
func (s *store) load() (map[string][]types.ObjectContent, int64, error) {
	kept := map[string][]types.ObjectContent{}
	paths, err := filepath.Glob(filepath.Join(s.folder, "*.xml"))
	if err != nil {
		return nil, 0, err
	}
	for _, path := range paths {
		content, err := loadObject(path)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", path, err)
		}
		kept[content.Obj.Type] = append(kept[content.Obj.Type], content)
	}
	text, err := os.ReadFile(filepath.Join(s.folder, "counter"))
	if errors.Is(err, fs.ErrNotExist) {
		return kept, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	highest, err := strconv.ParseInt(string(text), 10, 64)
	return kept, highest, err
}

// halfMade returns the folders of the VMs that an earlier process did not finish, and forgets these VMs.
func (s *store) halfMade() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(s.folder, "*"+unfinished))
	if err != nil {
		return nil, err
	}
	var homes []string
	for _, path := range paths {
		home, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(strings.TrimSuffix(path, unfinished) + ".xml"); errors.Is(err, fs.ErrNotExist) {
			homes = append(homes, string(home))
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return homes, nil
}

func loadObject(path string) (content types.ObjectContent, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return content, err
	}
	decoder := xml.NewDecoder(bytes.NewReader(text))
	decoder.TypeFunc = types.TypeFunc()
	return content, decoder.Decode(&content)
}

// replace writes a file in one step.
func replace(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
