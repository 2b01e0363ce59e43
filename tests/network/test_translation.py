"""From records to OVN's rows, one truth at a time."""

from typing import Any

import pytest

from polyvisor.model.port import AddressPair, Binding, ExtraDhcpOption
from polyvisor.model.qos_policy import BANDWIDTH_LIMIT, DSCP_MARKING, QosPolicy, QosRule
from polyvisor.model.router import PortForwarding
from polyvisor.model.subnet import HostRoute
from polyvisor.network.backend import Parent, Records
from polyvisor.network.ovn.row import Row
from polyvisor.network.ovn.security_group import DROP_GROUP, match_of
from polyvisor.network.ovn.site import MOST_GATEWAYS, Chassis, Site
from polyvisor.network.ovn.translate import rows_of
from polyvisor.network.ovn.view import View
from tests.network.records import (
    FLAT,
    STANDARD,
    VLAN,
    address_group,
    bound,
    floating,
    gateway_port,
    group,
    metadata_port,
    network,
    port,
    records,
    router,
    router_port,
    rule,
    subject,
    subnet,
)

ON_PHYSICAL = frozenset(("physnet1",))
CHASSIS = tuple(Chassis(name=f"gw-{each}", hostname=f"gw-{each}", physical_networks=ON_PHYSICAL) for each in range(7))
WAY_OUT = gateway_port("gateway", "outside", 1, ("s-outside", "172.24.0.10"))
WAY_IN = router_port("way-in", "n1", 2, ("s1", "10.0.0.1"))
OUTSIDE = (network("outside", FLAT, mtu=1500), subnet("s-outside", "outside", "172.24.0.0/24", "172.24.0.1"))
WEB = (network("n1"), subnet("s1", "n1", "10.0.0.0/24", "10.0.0.1"))


def rows(wanted: Records, of: str, site: Site | None = None) -> list[Row]:
    made, failed = rows_of(View(wanted, site or Site(chassis=CHASSIS)), [subject(*of.split(":"))])
    assert failed == {}
    return made


def only(wanted: Records, of: str, table: str, site: Site | None = None) -> dict[str, Any]:
    [row] = [row for row in rows(wanted, of, site) if row.table == table]
    return dict(row.columns)


def routed(*more: Any, gateway: bool = True, **keywords: Any) -> Records:
    ports = (WAY_OUT, WAY_IN) if gateway else (WAY_IN,)
    made = router("r1", WAY_OUT if gateway else None, **keywords)
    return records(*WEB, *OUTSIDE, made, *more, interfaces={"r1": ports})


# Networks


def test_a_vlan_leaves_by_a_port_with_its_tag_and_an_overlay_by_none() -> None:
    vlan = only(records(network("n1", VLAN)), "network:n1", "Logical_Switch_Port")
    assert (vlan["type"], vlan["tag"], vlan["options"]) == ("localnet", {100}, {"network_name": "physnet1"})
    flat = only(records(network("n1", FLAT)), "network:n1", "Logical_Switch_Port")
    assert flat["tag"] == frozenset()
    assert {row.table for row in rows(records(network("n1")), "network:n1")} == {"Logical_Switch"}


def test_dhcp_says_what_the_subnet_says() -> None:
    routes = (HostRoute(destination="10.9.0.0/16", nexthop="10.0.0.9"),)
    inside = subnet("s1", "n1", "10.0.0.0/24", "10.0.0.1", dns_nameservers=("9.9.9.9", "8.8.8.8"), host_routes=routes)
    wanted = records(network("n1", mtu=1400), inside, metadata_port("m1", "n1", 1, ("s1", "10.0.0.2")))
    options = only(wanted, "network:n1", "DHCP_Options", Site(dns_domain="example."))["options"]
    assert options.pop("server_mac").startswith("0e:")
    assert options == {
        "server_id": "10.0.0.1",
        "lease_time": "43200",
        "mtu": "1400",
        "router": "10.0.0.1",
        "dns_server": "{9.9.9.9, 8.8.8.8}",
        "domain_name": '"example"',
        "classless_static_route": "{169.254.169.254/32,10.0.0.2, 10.9.0.0/16,10.0.0.9, 0.0.0.0/0,10.0.0.1}",
    }


def test_a_subnet_without_a_gateway_leads_nowhere_and_is_served_by_its_metadata_port() -> None:
    wanted = records(network("n1"), subnet("s1", "n1", "10.0.0.0/24"), metadata_port("m1", "n1", 1, ("s1", "10.0.0.2")))
    options = only(wanted, "network:n1", "DHCP_Options")["options"]
    assert "router" not in options
    assert options["server_id"] == "10.0.0.2"
    assert options["classless_static_route"] == "{169.254.169.254/32,10.0.0.2}"


@pytest.mark.parametrize(
    ("values", "served"),
    [
        ({"enable_dhcp": False}, False),
        ({"ipv6_address_mode": "slaac"}, False),
        ({"ipv6_address_mode": "dhcpv6-stateful"}, True),
        ({"ipv6_address_mode": "dhcpv6-stateless"}, True),
    ],
)
def test_dhcp_is_served_where_guests_ask_for_it(values: dict[str, Any], served: bool) -> None:
    wanted = records(network("n1"), subnet("s6", "n1", "fd00::/64", "fd00::1", **values))
    tables = [row.table for row in rows(wanted, "network:n1")]
    assert ("DHCP_Options" in tables) is served
    if served:
        options = only(wanted, "network:n1", "DHCP_Options")["options"]
        assert (options.get("dhcpv6_stateless") == "true") is (values["ipv6_address_mode"] == "dhcpv6-stateless")


# Ports


def test_a_guarded_port_may_send_from_its_addresses_and_its_pairs_alone() -> None:
    pairs = (
        AddressPair(ip_address="10.0.0.50", mac_address="fa:16:3e:00:00:03"),
        AddressPair(ip_address="10.1.0.0/16", mac_address="fa:16:3e:00:00:99"),
    )
    made = port("p1", "n1", 3, ("s1", "10.0.0.3"), allowed_address_pairs=pairs, security_group_ids=("g1",))
    [row] = [row for row in rows(records(*WEB, made), "port:p1") if row.table == "Logical_Switch_Port"]
    assert row.columns["addresses"] == {"fa:16:3e:00:00:03 10.0.0.3", "fa:16:3e:00:00:99"}
    assert row.columns["port_security"] == {"fa:16:3e:00:00:03 10.0.0.3 10.0.0.50", "fa:16:3e:00:00:99 10.1.0.0/16"}
    assert {place.key for place in row.places if place.table == "Port_Group"} == {"drop", "g1"}
    assert [value.key for value in row.columns["dhcpv4_options"]] == ["s1"]


def test_an_unguarded_port_is_in_no_group_and_hears_what_nobody_knows() -> None:
    made = port("p1", "n1", 3, ("s1", "10.0.0.3"), port_security_enabled=False)
    [row] = [row for row in rows(records(*WEB, made), "port:p1") if row.table == "Logical_Switch_Port"]
    assert "unknown" in row.columns["addresses"]
    assert row.columns["port_security"] == frozenset()
    assert [place.table for place in row.places] == ["Logical_Switch"]


def test_a_metadata_port_is_on_every_chassis_and_is_served_no_dhcp() -> None:
    columns = only(records(*WEB, metadata_port("m1", "n1", 1, ("s1", "10.0.0.2"))), "port:m1", "Logical_Switch_Port")
    assert columns["type"] == "localport"
    assert "dhcpv4_options" not in columns


@pytest.mark.parametrize("owner", ["network:router_interface", "network:router_gateway", "network:floatingip"])
def test_ports_that_are_part_of_something_else_have_no_rows_of_their_own(owner: str) -> None:
    assert rows(records(*WEB, port("p1", "n1", 1, device_owner=owner)), "port:p1") == []


@pytest.mark.parametrize(
    ("binding", "segment", "kind"),
    [
        (bound("gw-1"), VLAN, ""),
        (bound("esxi-1", "dvs"), VLAN, "external"),
        (Binding(host="gw-1", vif_type="hw_veb", vnic_type="direct"), VLAN, "external"),
        (bound("esxi-1", "dvs"), None, ""),
    ],
)
def test_a_port_outside_of_any_chassis_is_external(binding: Binding, segment: Any, kind: str) -> None:
    carried = network("n1", segment) if segment else network("n1")
    columns = only(records(carried, port("p1", "n1", 1, binding=binding)), "port:p1", "Logical_Switch_Port")
    assert columns["type"] == kind
    assert ("ha_chassis_group" in columns) is (kind == "external")


def test_a_port_names_its_host_only_where_ovn_knows_it() -> None:
    at = {"requested-chassis": "gw-3"}
    for host, options in (("gw-3", at), ("gw-3.example.org", at), ("elsewhere", {}), ("", {})):
        columns = only(records(*WEB, port("p1", "n1", 1, binding=bound(host))), "port:p1", "Logical_Switch_Port")
        assert columns["options"] == options


def test_a_host_is_the_chassis_that_has_its_name_whoever_added_a_domain() -> None:
    long = Chassis(name="6f1c", hostname="kvm-1.example.org")
    site = Site(chassis=(long, Chassis(name="kvm-2", hostname="kvm-2"), Chassis(name="kvm-22", hostname="kvm-22")))
    told = {"6f1c": "6f1c", "kvm-1.example.org": "6f1c", "kvm-1": "6f1c", "kvm-2.a.b": "kvm-2"}
    assert {host: site.chassis_of(host) for host in told} == told
    for stranger in ("", "kvm", "kvm-1.other.org", "kvm-3", "example.org"):
        assert site.chassis_of(stranger) is None
    namesake = Chassis(name="77aa", hostname="kvm-1.other.org")
    assert Site(chassis=(long, namesake)).chassis_of("kvm-1") is None, "it could be either"
    assert Site(chassis=(long, namesake)).chassis_of("kvm-1.other.org") == "77aa"


def test_a_trunks_port_is_carried_by_its_parent() -> None:
    wanted = records(*WEB, port("p1", "n1", 1), parents={"p1": Parent(port_id="trunk", vlan=7)})
    columns = only(wanted, "port:p1", "Logical_Switch_Port")
    assert (columns["parent_name"], columns["tag"]) == ({"trunk"}, {7})


def test_options_of_a_port_replace_and_remove_those_of_the_subnet() -> None:
    extra = (
        ExtraDhcpOption(opt_name="mtu", opt_value="1300"),
        ExtraDhcpOption(opt_name="router", opt_value=None),
        ExtraDhcpOption(opt_name="bootfile-name", opt_value="pxe.0"),
        ExtraDhcpOption(opt_name="ntp-server", opt_value="10.0.0.7,10.0.0.8"),
        ExtraDhcpOption(opt_name="nobody-knows", opt_value="1"),
    )
    made = port("p1", "n1", 1, ("s1", "10.0.0.3"), extra_dhcp_opts=extra)
    options = only(records(*WEB, made), "port:p1", "DHCP_Options")["options"]
    assert (options["mtu"], options["bootfile_name"]) == ("1300", '"pxe.0"')
    assert options["ntp_server"] == "{10.0.0.7, 10.0.0.8}"
    assert "router" not in options
    assert "nobody-knows" not in options


def test_a_port_may_be_served_nothing() -> None:
    off = (ExtraDhcpOption(opt_name="dhcp_disabled", opt_value="true"),)
    made = port("p1", "n1", 1, ("s1", "10.0.0.3"), extra_dhcp_opts=off)
    assert only(records(*WEB, made), "port:p1", "Logical_Switch_Port")["dhcpv4_options"] == frozenset()


def test_names_lead_to_addresses_and_back() -> None:
    made = port("p1", "n1", 1, ("s1", "10.0.0.3"), dns_name="Web")
    known = only(records(network("n1", dns_domain="example.org."), WEB[1], made), "port:p1", "DNS")["records"]
    assert known == {"web": "10.0.0.3", "web.example.org": "10.0.0.3", "3.0.0.10.in-addr.arpa": "web.example.org"}


def test_a_networks_policy_limits_guests_and_a_ports_own_goes_before_it() -> None:
    limit = QosRule(id="r1", kind=BANDWIDTH_LIMIT, direction="ingress", max_kbps=1000, max_burst_kbps=100)
    mark = QosRule(id="r2", kind=DSCP_MARKING, dscp_mark=16)
    policies = {id: QosPolicy(id=id, rules=(each,), **STANDARD) for id, each in (("q1", limit), ("q2", mark))}
    of_network = network("n1", qos_policy_id="q1")
    plain = only(records(of_network, port("p1", "n1", 1), qos_policies=policies), "port:p1", "QoS")
    assert (plain["direction"], plain["match"]) == ("to-lport", 'outport == "p1"')
    assert plain["bandwidth"] == {"rate": 1000, "burst": 100}
    own = only(records(of_network, port("p1", "n1", 1, qos_policy_id="q2"), qos_policies=policies), "port:p1", "QoS")
    assert (own["direction"], own["match"], own["action"]) == ("from-lport", 'inport == "p1"', {"dscp": 16})
    assert "QoS" not in {row.table for row in rows(records(of_network, WAY_IN, metadata_port("m", "n1", 5),
                                                           qos_policies=policies), "port:m")}  # fmt: skip


# Security groups


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({}, "outport == @pg && ip4"),
        ({"direction": "egress", "ethertype": "IPv6"}, "inport == @pg && ip6"),
        (
            {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
            "outport == @pg && ip4 && tcp && tcp.dst == 22",
        ),
        (
            {"protocol": "17", "port_range_min": 1, "port_range_max": 9},
            "outport == @pg && ip4 && udp && udp.dst >= 1 && udp.dst <= 9",
        ),
        ({"protocol": "sctp"}, "outport == @pg && ip4 && sctp"),
        ({"protocol": "icmp"}, "outport == @pg && ip4 && icmp4"),
        (
            {"protocol": "icmp", "port_range_min": 8, "port_range_max": 0},
            "outport == @pg && ip4 && icmp4 && icmp4.type == 8 && icmp4.code == 0",
        ),
        ({"protocol": "ipv6-icmp", "ethertype": "IPv6"}, "outport == @pg && ip6 && icmp6"),
        ({"protocol": "vrrp"}, "outport == @pg && ip4 && ip.proto == 112"),
        ({"protocol": "99"}, "outport == @pg && ip4 && ip.proto == 99"),
        ({"remote_ip_prefix": "10.0.0.0/8"}, "outport == @pg && ip4 && ip4.src == 10.0.0.0/8"),
        ({"remote_ip_prefix": "0.0.0.0/0"}, "outport == @pg && ip4"),
        (
            {"remote_ip_prefix": "fd00::/8", "ethertype": "IPv6", "direction": "egress"},
            "inport == @pg && ip6 && ip6.dst == fd00::/8",
        ),
        ({"remote_group_id": "a-b"}, "outport == @pg && ip4 && ip4.src == $polyvisor_a_b_ip4"),
        ({"remote_address_group_id": "a-b"}, "outport == @pg && ip4 && ip4.src == $polyvisor_as_a_b_ip4"),
    ],
)
def test_a_rule_matches_what_it_says(values: dict[str, Any], match: str) -> None:
    assert match_of("pg", rule("r1", "g1", **values)) == match


@pytest.mark.parametrize("protocol", ["dccp", "udplite", "33", "unheard-of"])
def test_a_rule_that_ovn_cannot_say_lets_nothing_through(protocol: str) -> None:
    rules = rule("r1", "g1", protocol=protocol, port_range_min=1, port_range_max=9)
    assert match_of("pg", rules) is None
    assert [row.table for row in rows(records(group("g1", rules)), "security_group:g1")] == ["Port_Group"]


def test_a_stateless_groups_rules_know_no_connections() -> None:
    for stateful, action in ((True, "allow-related"), (False, "allow-stateless")):
        made = only(records(group("g1", rule("r1", "g1"), stateful=stateful)), "security_group:g1", "ACL")
        assert (made["action"], made["direction"]) == (action, "to-lport")


def test_what_nothing_lets_in_is_dropped_and_servers_of_dhcp_always() -> None:
    made, _ = rows_of(View(Records(), Site()), [DROP_GROUP])
    acls = {row.key: row.columns for row in made if row.table == "ACL"}
    drops = {key for key, columns in acls.items() if columns["action"] == "drop"}
    assert drops == {"drop to-lport", "drop from-lport", "dhcp4-server", "dhcp6-server", "router"}
    allowed = max(columns["priority"] for columns in acls.values() if columns["action"] != "drop")
    assert acls["dhcp4-server"]["priority"] > allowed > acls["drop to-lport"]["priority"]


def test_an_address_group_is_two_sets() -> None:
    made = rows(records(address_group("a-1", "10.0.0.0/8", "fd00::/8")), "address_group:a-1")
    assert {row.columns["name"]: row.columns["addresses"] for row in made} == {
        "polyvisor_as_a_1_ip4": {"10.0.0.0/8"},
        "polyvisor_as_a_1_ip6": {"fd00::/8"},
    }


# Routers


def test_a_router_translates_its_subnets_and_leads_out() -> None:
    nat = only(routed(), "router:r1", "NAT")
    assert (nat["type"], nat["external_ip"], nat["logical_ip"]) == ("snat", "172.24.0.10", "10.0.0.0/24")
    route = only(routed(), "router:r1", "Logical_Router_Static_Route")
    assert (route["ip_prefix"], route["nexthop"]) == ("0.0.0.0/0", "172.24.0.1")


def test_a_router_without_a_gateway_translates_nothing() -> None:
    tables = {
        row.table for row in rows(routed(floating("f1", "172.24.0.20", "r1", "outside"), gateway=False), "router:r1")
    }
    assert tables == {"Logical_Router", "Logical_Router_Port", "Logical_Switch_Port"}


def test_a_gateway_has_its_chassis_in_an_order_of_its_own() -> None:
    made = [row.columns for row in rows(routed(), "router:r1") if row.table == "Gateway_Chassis"]
    assert len(made) == MOST_GATEWAYS
    assert sorted(each["priority"] for each in made) == [1, 2, 3, 4, 5]
    site = Site(chassis=CHASSIS)
    firsts = {site.gateways(ON_PHYSICAL, f"router-{number}")[0] for number in range(50)}
    assert firsts == {each.name for each in CHASSIS}, "one chassis has all the work"
    without = Site(chassis=CHASSIS[1:])
    before = [name for name in site.gateways(ON_PHYSICAL, "r1") if name != CHASSIS[0].name]
    assert without.gateways(ON_PHYSICAL, "r1")[: len(before)] == before, "gateways moved that nobody had to move"


def test_chassis_that_were_set_apart_are_the_gateways_and_those_that_reach_nothing_are_none() -> None:
    apart = Chassis(name="apart", hostname="apart", physical_networks=ON_PHYSICAL, gateway=True)
    blind = Chassis(name="blind", hostname="blind", gateway=True)
    assert Site(chassis=(*CHASSIS, apart, blind)).gateways(ON_PHYSICAL, "r1") == ["apart"]
    assert Site(chassis=(blind,)).gateways(ON_PHYSICAL, "r1") == []


def test_external_ports_are_at_home_where_their_routers_gateway_is() -> None:
    vlan = records(network("n1", VLAN), WEB[1], *OUTSIDE, router("r1", WAY_OUT), interfaces={"r1": (WAY_OUT, WAY_IN)})
    group_of = {row.columns["chassis_name"]: row.columns["priority"] for row in rows(vlan, "network:n1")
                if row.table == "HA_Chassis"}  # fmt: skip
    gateway_of = {row.columns["chassis_name"]: row.columns["priority"] for row in rows(vlan, "router:r1")
                  if row.table == "Gateway_Chassis"}  # fmt: skip
    assert group_of == gateway_of
    inner = [
        row.columns for row in rows(vlan, "router:r1") if row.key == "way-in" and row.table == "Logical_Router_Port"
    ]
    assert inner[0]["options"] == {"reside-on-redirect-chassis": "true"}


def test_a_gateway_to_a_narrower_network_says_so() -> None:
    narrow = (network("outside", FLAT, mtu=1300), OUTSIDE[1])
    wanted = records(*WEB, *narrow, router("r1", WAY_OUT), interfaces={"r1": (WAY_OUT, WAY_IN)})
    options = [row.columns["options"] for row in rows(wanted, "router:r1")
               if row.key == "gateway" and row.table == "Logical_Router_Port"]  # fmt: skip
    assert options == [{"gateway_mtu": "1300"}]


def test_a_floating_ip_is_translated_by_a_gateway_unless_chassis_are_to_do_it() -> None:
    held = (
        port("f1-port", "outside", 8, device_owner="network:floatingip"),
        port("p1", "n1", 3, binding=bound("gw-1")),
    )
    stands = floating("f1", "172.24.0.20", "r1", "outside", port_id="p1", fixed_ip_address="10.0.0.3")
    wanted = routed(stands, *held)
    by_gateway = {row.key: row.columns for row in rows(wanted, "router:r1") if row.table == "NAT"}["f1"]
    assert (by_gateway["external_ip"], by_gateway["logical_ip"]) == ("172.24.0.20", "10.0.0.3")
    assert "external_mac" not in by_gateway
    site = Site(chassis=CHASSIS, distributed_floating_ips=True)
    by_chassis = {row.key: row.columns for row in rows(wanted, "router:r1", site) if row.table == "NAT"}["f1"]
    assert (by_chassis["external_mac"], by_chassis["logical_port"]) == ({"fa:16:3e:00:00:08"}, {"p1"})


def test_forwarded_ports_are_load_balancers_of_one() -> None:
    def handed_on(id: str, outer: str, inner: str) -> PortForwarding:
        return PortForwarding(
            id=id, floating_ip_id="f1", protocol="tcp", external_port=outer, internal_port=inner,
            internal_port_id="p1", internal_ip_address="10.0.0.3", **STANDARD,
        )  # fmt: skip

    forwarding = (handed_on("1", "80", "8080"), handed_on("2", "90:91", "190:191"), handed_on("3", "95:96", "5"))
    made = floating("f1", "172.24.0.20", "r1", "outside", port_forwardings=forwarding)
    balancer = only(routed(made), "router:r1", "Load_Balancer")
    assert balancer["protocol"] == {"tcp"}
    assert balancer["vips"] == {
        "172.24.0.20:80": "10.0.0.3:8080",
        "172.24.0.20:90": "10.0.0.3:190",
        "172.24.0.20:91": "10.0.0.3:191",
        "172.24.0.20:95": "10.0.0.3:5",
        "172.24.0.20:96": "10.0.0.3:5",
    }


def test_a_router_advertises_what_the_subnet_asks_of_it() -> None:
    inside = subnet("s6", "n1", "fd00::/64", "fd00::1", ipv6_ra_mode="dhcpv6-stateless", dns_nameservers=("fd00::53",))
    way_in = router_port("way-in", "n1", 2, ("s6", "fd00::1"))
    wanted = records(network("n1"), inside, router("r1"), interfaces={"r1": (way_in,)})
    columns = only(wanted, "router:r1", "Logical_Router_Port")
    assert columns["networks"] == {"fd00::1/64"}
    assert columns["ipv6_ra_configs"] == {
        "address_mode": "dhcpv6_stateless",
        "send_periodic": "true",
        "mtu": "1442",
        "rdnss": "fd00::53",
    }


def test_extra_routes_are_each_a_row_that_stays_when_others_go() -> None:
    first, second = (HostRoute(destination=f"10.{each}.0.0/16", nexthop="10.0.0.9") for each in (7, 8))
    both = {
        row.key
        for row in rows(routed(gateway=False, routes=(first, second)), "router:r1")
        if "Static_Route" in row.table
    }
    one = {row.key for row in rows(routed(gateway=False, routes=(second,)), "router:r1") if "Static_Route" in row.table}
    assert one < both


def test_a_record_that_says_something_impossible_does_not_hold_up_the_others() -> None:
    wanted = records(group("bad", rule("r1", "bad", remote_ip_prefix="nonsense")), group("good", rule("r2", "good")))
    made, failed = rows_of(View(wanted, Site()), [subject("security_group", "bad"), subject("security_group", "good")])
    assert list(failed) == [subject("security_group", "bad")]
    assert {row.subject.id for row in made} == {"good"}
