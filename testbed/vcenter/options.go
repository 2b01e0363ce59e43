package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"polyvisor/testbed/vcenter/internal/guest"
)

// Options are the command line's: what the estate looks like, and how it is served.
type Options struct {
	Listen       string
	Data         string
	User         string
	PasswordFile string

	ESX             bool
	Datacenters     int
	Clusters        int
	HostsPerCluster int
	PortGroups      int

	Datastores        int
	LocalDatastores   bool
	DatastoreCapacity int64
	NoSharedStorage   bool

	DRS      string
	HA       bool
	VMotion  bool
	HostCPUs int
	HostMiB  int64

	OpenVSwitch string
	Bridges     string

	Accelerator string
	GuestsDie   bool
	WhileStdin  bool
	Tools       bool
}

// passwordVariable may hold the password instead of a file; it is never an argument, which anybody could read.
const passwordVariable = "POLYVISOR_TEST_VCENTER_PASSWORD"

func parseOptions(arguments []string) (Options, error) {
	var o Options
	flags := flag.NewFlagSet("polyvisor-test-vcenter", flag.ContinueOnError)
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:0", "`address` to serve on; port 0 takes a free one, which later starts keep")
	flags.StringVar(&o.Data, "data", "", "`folder` with the datastores, the guests and the inventory")
	flags.StringVar(&o.User, "user", "administrator@vsphere.local", "the one user")
	flags.StringVar(&o.PasswordFile, "password-file", "", "`file` with the password (or $"+passwordVariable+")")
	flags.BoolVar(&o.ESX, "esx", false, "be one ESXi host without vCenter")
	flags.IntVar(&o.Datacenters, "datacenters", 1, "number of datacenters")
	flags.IntVar(&o.Clusters, "clusters", 1, "clusters in each datacenter")
	flags.IntVar(&o.HostsPerCluster, "hosts", 2, "ESXi hosts in each cluster")
	flags.IntVar(&o.PortGroups, "port-groups", 1, "port groups on the distributed switch of each datacenter")
	flags.IntVar(&o.Datastores, "datastores", 1, "datastores shared by all hosts of a datacenter (of the ESXi host)")
	flags.BoolVar(&o.LocalDatastores, "local-datastores", false, "give every host a datastore of its own as well")
	flags.BoolVar(&o.NoSharedStorage, "no-shared-storage", false, "give hosts nothing but datastores of their own")
	flags.Int64Var(&o.DatastoreCapacity, "datastore-gib", 1024, "capacity of each datastore in `GiB`")
	flags.StringVar(&o.DRS, "drs", "fullyAutomated", "DRS of the clusters: off, manual, partiallyAutomated or fullyAutomated")
	flags.BoolVar(&o.HA, "ha", true, "vSphere HA in the clusters")
	flags.BoolVar(&o.VMotion, "vmotion", true, "a vMotion interface on every host")
	flags.IntVar(&o.HostCPUs, "host-cpus", 16, "CPU threads of each host")
	flags.Int64Var(&o.HostMiB, "host-memory-mib", 65536, "memory of each host in `MiB`")
	flags.StringVar(&o.OpenVSwitch, "openvswitch", "", "`address` of an Open vSwitch's database (unix:/PATH) whose bridges guests are plugged into")
	flags.StringVar(&o.Bridges, "bridges", "", "which bridge stands for which switch: `DC0_DVS0=br-phys`, several with commas")
	flags.StringVar(&o.Accelerator, "accel", string(guest.TCG), "what QEMU runs guests with: tcg, kvm, or auto to find out by trying")
	flags.BoolVar(&o.GuestsDie, "guests-die-with-me", false, "end all guests with this process, even if it is killed")
	flags.BoolVar(&o.WhileStdin, "while-stdin", false, "end, with all guests, when standard input does: whoever started this has gone")
	flags.BoolVar(&o.Tools, "tools", true, "stand in for VMware Tools in guests: shut them down and reboot them through ACPI")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.Data == "":
		return errors.New("--data must name a folder")
	case o.DRS != "off" && o.DRS != "manual" && o.DRS != "partiallyAutomated" && o.DRS != "fullyAutomated":
		return fmt.Errorf("--drs %s: it must be off, manual, partiallyAutomated or fullyAutomated", o.DRS)
	case o.Accelerator != string(guest.TCG) && o.Accelerator != string(guest.KVM) && o.Accelerator != string(guest.Auto):
		return fmt.Errorf("--accel %s: it must be tcg, kvm or auto", o.Accelerator)
	case (o.OpenVSwitch == "") != (o.Bridges == ""):
		return errors.New("--openvswitch and --bridges belong together")
	case o.OpenVSwitch != "" && o.bridges() == nil:
		return fmt.Errorf("--bridges %s: it must be SWITCH=BRIDGE, several with commas", o.Bridges)
	case o.DatastoreCapacity < 1 || o.HostCPUs < 1 || o.HostMiB < 1024:
		return errors.New("--datastore-gib and --host-cpus must be at least 1, and --host-memory-mib at least 1024")
	case !o.ESX && (o.Datacenters < 1 || o.Clusters < 0 || o.HostsPerCluster < 0 || o.PortGroups < 0 || o.Datastores < 0):
		return errors.New("a vCenter needs at least one datacenter, and no number may be negative")
	}
	return nil
}

// bridges are those that stand for switches, or nil if the option makes no sense.
func (o Options) bridges() map[string]string {
	found := map[string]string{}
	for _, pair := range strings.Split(o.Bridges, ",") {
		name, bridge, ok := strings.Cut(pair, "=")
		if !ok || name == "" || bridge == "" {
			return nil
		}
		found[name] = bridge
	}
	return found
}

// plug is where guests' adapters are connected to.
func (o Options) plug() guest.Plug {
	if o.OpenVSwitch == "" {
		return guest.Unplugged{}
	}
	return guest.OpenVSwitch{Database: o.OpenVSwitch, Bridges: o.bridges(), Folder: o.Data}
}

// password reads the password, which is never given as an argument.
func (o Options) password() (string, error) {
	if o.PasswordFile == "" {
		if password := os.Getenv(passwordVariable); password != "" {
			return password, nil
		}
		return "", fmt.Errorf("give a password with --password-file or $%s", passwordVariable)
	}
	text, err := os.ReadFile(o.PasswordFile)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
