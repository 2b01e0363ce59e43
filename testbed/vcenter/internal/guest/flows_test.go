package guest

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestARangeOfPortsIsSaidInMasks(t *testing.T) {
	for _, each := range []struct {
		first, last uint16
		wanted      []string
	}{
		{22, 22, []string{",tp_dst=0x16/0xffff"}},
		{32768, 65535, []string{",tp_dst=0x8000/0x8000"}},
		{80, 82, []string{",tp_dst=0x50/0xfffe", ",tp_dst=0x52/0xffff"}},
		{0, 65535, []string{",tp_dst=0x0/0x0"}},
	} {
		if got := masks("tp_dst", &[2]uint16{each.first, each.last}); !slices.Equal(got, each.wanted) {
			t.Errorf("%d to %d gave %v", each.first, each.last, got)
		}
	}
}

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	got := flows(NIC{MAC: "fa:16:3e:00:00:01", Rules: []Rule{
		{Incoming: true, Accept: true, Protocol: 6, Source: netip.MustParsePrefix("10.0.0.0/8"), DestinationPorts: &[2]uint16{22, 22}},
		{Incoming: true, Protocol: -1, Source: netip.MustParsePrefix("0.0.0.0/0")},
		{Protocol: -1, Source: netip.MustParsePrefix("::/0")},
	}}, "vm1", 7)
	for _, wanted := range []string{
		"add cookie=0x7,table=1,priority=30000,dl_dst=fa:16:3e:00:00:01,ip,nw_proto=6,nw_src=10.0.0.0/8,tp_dst=0x16/0xffff,actions=NORMAL\n",
		"add cookie=0x7,table=1,priority=29999,dl_dst=fa:16:3e:00:00:01,ip,actions=drop\n",
		"add cookie=0x7,table=0,priority=29998,in_port=vm1,ipv6,actions=drop\n",
	} {
		if !strings.Contains(got, wanted) {
			t.Errorf("no %q in %s", wanted, got)
		}
	}
}
