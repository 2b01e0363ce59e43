package guest

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
)

// Rule is one of an adapter's traffic rules: the first that matches a packet decides.
type Rule struct {
	// Incoming packets are those towards the guest.
	Incoming bool
	Accept   bool
	// Protocol is IANA's number; below 0 = all of IP.
	Protocol int
	// Source and Destination are CIDRs; the zero value = not asked for.
	Source, Destination netip.Prefix
	// The first and the last port; nil = not asked for.
	SourcePorts, DestinationPorts *[2]uint16
}

// Packets go through table 0, where the rules of their sender are, and table 1, where those of their receiver are. It is
// told by its MAC address, so that packets to groups are not held back.
const (
	sendersTable   = 0
	receiversTable = 1
	highest        = 30000
)

// flows are the lines for `ovs-ofctl --bundle add-flows` that replace all that an adapter had.
func flows(nic NIC, device string, cookie uint64) string {
	lines := []string{
		fmt.Sprintf("delete cookie=0x%x/-1", cookie),
		fmt.Sprintf("add table=%d,priority=0,actions=resubmit(,%d)", sendersTable, receiversTable),
		fmt.Sprintf("add table=%d,priority=0,actions=NORMAL", receiversTable),
	}
	for number, rule := range nic.Rules {
		table, who, pass := sendersTable, "in_port="+device, fmt.Sprintf("resubmit(,%d)", receiversTable)
		if rule.Incoming {
			table, who, pass = receiversTable, "dl_dst="+nic.MAC, "NORMAL"
		}
		if !rule.Accept {
			pass = "drop"
		}
		for _, match := range rule.matches() {
			lines = append(lines, fmt.Sprintf("add cookie=0x%x,table=%d,priority=%d,%s,%s,actions=%s",
				cookie, table, highest-number, who, match, pass))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// matches says a rule in Open vSwitch's words: several where it takes more than one version of IP, or ranges of ports.
func (r Rule) matches() []string {
	var found []string
	for _, family := range []struct {
		name, source, destination string
		six                       bool
	}{{"ip", "nw_src", "nw_dst", false}, {"ipv6", "ipv6_src", "ipv6_dst", true}} {
		if (r.Source.IsValid() && r.Source.Addr().Is6() != family.six) ||
			(r.Destination.IsValid() && r.Destination.Addr().Is6() != family.six) {
			continue
		}
		match := family.name
		if r.Protocol >= 0 {
			match += fmt.Sprintf(",nw_proto=%d", r.Protocol)
		}
		if r.Source.IsValid() && r.Source.Bits() > 0 {
			match += fmt.Sprintf(",%s=%s", family.source, r.Source)
		}
		if r.Destination.IsValid() && r.Destination.Bits() > 0 {
			match += fmt.Sprintf(",%s=%s", family.destination, r.Destination)
		}
		for _, source := range masks("tp_src", r.SourcePorts) {
			for _, destination := range masks("tp_dst", r.DestinationPorts) {
				found = append(found, match+source+destination)
			}
		}
	}
	return found
}

// masks says a range of ports as values under masks, as few as there may be.
func masks(field string, ports *[2]uint16) []string {
	if ports == nil {
		return []string{""}
	}
	var found []string
	for first, last := uint32(ports[0]), uint32(ports[1]); first <= last; {
		size := uint32(1)
		for first%(size*2) == 0 && first+size*2-1 <= last && size < 1<<16 {
			size *= 2
		}
		found = append(found, fmt.Sprintf(",%s=0x%x/0x%x", field, first, 0xffff&^(size-1)))
		first += size
	}
	return found
}

// setFlows makes the bridge hold the adapter to its rules, all at once.
func (o OpenVSwitch) setFlows(bridge string, nic NIC) error {
	device := o.device(nic.Guest, nic.Key)
	command := exec.Command("ovs-ofctl", "--bundle", "-OOpenFlow14", o.timeout(), "add-flows", o.management(bridge), "-")
	command.Stdin = strings.NewReader(flows(nic, device, cookie(device)))
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("the rules of %s: %w: %s", device, err, strings.TrimSpace(string(said)))
	}
	return nil
}

// management is the bridge's own socket, which lies beside the database's.
func (o OpenVSwitch) management(bridge string) string {
	return "unix:" + filepath.Join(filepath.Dir(strings.TrimPrefix(o.Database, "unix:")), bridge+".mgmt")
}
