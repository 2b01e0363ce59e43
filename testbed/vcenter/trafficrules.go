package main

import (
	"net/netip"
	"slices"

	"github.com/vmware/govmomi/vim25/types"

	"polyvisor/testbed/vcenter/internal/guest"
)

// rulesOf are the traffic rules of a port's settings, in their order; none where nothing is filtered. Qualifiers other than
// those of IP, and negated ones, are not understood: such a rule matches nothing here.
func rulesOf(setting types.BaseDVPortSetting) []guest.Rule {
	found, ok := setting.(*types.VMwareDVSPortSetting)
	if !ok || found.FilterPolicy == nil {
		return nil
	}
	var rules []guest.Rule
	for _, config := range found.FilterPolicy.FilterConfig {
		filter, ok := config.(*types.DvsTrafficFilterConfig)
		if !ok || filter.TrafficRuleset == nil || filter.TrafficRuleset.Enabled == nil || !*filter.TrafficRuleset.Enabled {
			continue
		}
		ordered := slices.Clone(filter.TrafficRuleset.Rules)
		slices.SortStableFunc(ordered, func(one, two types.DvsTrafficRule) int { return int(one.Sequence - two.Sequence) })
		for _, rule := range ordered {
			rules = append(rules, ruleOf(rule)...)
		}
	}
	return rules
}

// ruleOf is a rule, once for each direction that it has.
func ruleOf(rule types.DvsTrafficRule) []guest.Rule {
	if len(rule.Qualifier) != 1 {
		return nil
	}
	ip, ok := rule.Qualifier[0].(*types.DvsIpNetworkRuleQualifier)
	if !ok {
		return nil
	}
	said := guest.Rule{
		Protocol: -1, Source: prefix(ip.SourceAddress), Destination: prefix(ip.DestinationAddress),
		SourcePorts: portRange(ip.SourceIpPort), DestinationPorts: portRange(ip.DestinationIpPort),
	}
	_, said.Accept = rule.Action.(*types.DvsAcceptNetworkRuleAction)
	if ip.Protocol != nil {
		said.Protocol = int(ip.Protocol.Value)
	}
	var rules []guest.Rule
	for _, direction := range []types.DvsNetworkRuleDirectionType{
		types.DvsNetworkRuleDirectionTypeIncomingPackets, types.DvsNetworkRuleDirectionTypeOutgoingPackets,
	} {
		if rule.Direction == string(direction) || rule.Direction == string(types.DvsNetworkRuleDirectionTypeBoth) {
			said.Incoming = direction == types.DvsNetworkRuleDirectionTypeIncomingPackets
			rules = append(rules, said)
		}
	}
	return rules
}

func prefix(address types.BaseIpAddress) netip.Prefix {
	switch found := address.(type) {
	case *types.SingleIp:
		if parsed, err := netip.ParseAddr(found.Address); err == nil {
			return netip.PrefixFrom(parsed, parsed.BitLen())
		}
	case *types.IpRange:
		if parsed, err := netip.ParseAddr(found.AddressPrefix); err == nil {
			return netip.PrefixFrom(parsed, int(found.PrefixLength))
		}
	}
	return netip.Prefix{}
}

func portRange(ports types.BaseDvsIpPort) *[2]uint16 {
	switch found := ports.(type) {
	case *types.DvsSingleIpPort:
		return &[2]uint16{uint16(found.PortNumber), uint16(found.PortNumber)}
	case *types.DvsIpPortRange:
		return &[2]uint16{uint16(found.StartPortNumber), uint16(found.EndPortNumber)}
	}
	return nil
}
