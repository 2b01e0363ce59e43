"""The backend on a real OVN: what drifts is repaired, what is somebody else's is left alone, and one process writes."""

import subprocess
from collections.abc import Iterator

import pytest

from polyvisor.model.network_settings import PhysicalNetwork
from polyvisor.model.qos_policy import DSCP_MARKING, QosPolicy, QosRule
from polyvisor.network.backend import BackendDown, Records
from polyvisor.network.ovn.backend import LOCK, OvnBackend
from testbed.ovn import TestOvn
from testbed.ovn_chassis import PHYSICAL_NETWORK
from tests.network.beds import connected, rows, settings, until
from tests.network.records import (
    FLAT,
    STANDARD,
    VLAN,
    bound,
    floating,
    gateway_port,
    group,
    network,
    port,
    records,
    router,
    router_port,
    rule,
    subject,
    subnet,
)

pytestmark = pytest.mark.xdist_group("ovn")


@pytest.fixture
def backend(ovn: TestOvn) -> Iterator[OvnBackend]:
    made = connected(ovn)
    yield made
    made.close()


def cloud() -> Records:
    way_out = gateway_port("gateway", "outside", 1, ("s-outside", "172.24.0.10"))
    return records(
        network("n1"),
        subnet("s1", "n1", "10.0.0.0/24", "10.0.0.1"),
        port("p1", "n1", 3, ("s1", "10.0.0.3"), security_group_ids=("g1",)),
        network("outside", FLAT, external=True),
        subnet("s-outside", "outside", "172.24.0.0/24", "172.24.0.1"),
        group("g1", rule("r1", "g1", protocol="tcp", port_range_min=22, port_range_max=22)),
        router("router", way_out),
        floating("f1", "172.24.0.20", "router", "outside", port_id="p1", fixed_ip_address="10.0.0.3"),
        interfaces={"router": (way_out, router_port("inside", "n1", 4, ("s1", "10.0.0.1")))},
    )


# Each is something that an operator, or a fault, may do to a row of ours.
DRIFTS = {
    "a port moved to another switch": [
        *("lsp-del", "p1", "--", "ls-add", "elsewhere", "--", "lsp-add", "elsewhere", "p1"),
    ],
    "other addresses": ["lsp-set-addresses", "p1", "unknown"],
    "no port security": ["lsp-set-port-security", "p1"],
    "a port turned off": ["lsp-set-enabled", "p1", "disabled"],
    "out of its groups": ["clear", "port_group", "polyvisor_g1", "ports"],
    "a rule gone": ["clear", "port_group", "polyvisor_g1", "acls"],
    "no longer dropped": ["clear", "port_group", "polyvisor_drop", "acls"],
    "the mark of a port gone": ["clear", "logical_switch_port", "p1", "external_ids"],
    "the mark of a router gone": ["clear", "logical_router", "router", "external_ids"],
    "translations gone": ["lr-nat-del", "router"],
    "a route gone": ["lr-route-del", "router"],
    "another gateway's priority": ["lrp-set-gateway-chassis", "lrp-gateway", "hv1", "9"],
    "a router's port gone": ["lrp-del", "lrp-inside"],
    "a switch gone": ["ls-del", "n1"],
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_repaired(ovn: TestOvn, backend: OvnBackend, drift: str) -> None:
    backend.sweep(cloud())
    before = everything(ovn)
    ovn.nbctl(*DRIFTS[drift])
    assert everything(ovn) != before
    until(backend, lambda: backend.sweep(cloud()).changes > 0)
    after = everything(ovn)
    assert backend.sweep(cloud()).changes == 0
    assert after.replace("switch (elsewhere)\n", "") == before


def everything(ovn: TestOvn) -> str:
    """All logical things and what they hold, without their UUIDs."""
    shown = "".join(line for line in _without_uuids(ovn.nbctl("show")))
    routes = ovn.nbctl("lr-route-list", "router") + ovn.nbctl("lr-nat-list", "router") if "(router)" in shown else ""
    columns = "--columns=name,addresses,port_security,enabled,type,options,external_ids"
    routers = ovn.nbctl("--format=csv", "--columns=name,enabled,external_ids", "list", "Logical_Router")
    gateways = ovn.nbctl("--format=csv", "--columns=name,priority,external_ids", "list", "Gateway_Chassis")
    ports = sorted(ovn.nbctl("--format=csv", columns, "list", "Logical_Switch_Port").splitlines())
    groups = ""
    for name in ovn.nbctl("--bare", "--columns=name", "list", "Port_Group").split():
        held = ovn.nbctl("--bare", "--columns=ports", "find", "Port_Group", f"name={name}").split()
        groups += f"{name}: {len(held)} ports\n{ovn.nbctl('--type=port-group', 'acl-list', name)}"
    return "\n".join([*sorted(shown.splitlines()), routes, routers, *sorted(gateways.splitlines()), *ports, groups])


def _without_uuids(shown: str) -> Iterator[str]:
    for line in shown.splitlines(keepends=True):
        word, _, rest = line.partition(" ")
        yield f"{word} {rest.partition(' ')[2]}" if word in ("switch", "router") else line.split("nat ")[0]


def test_what_others_made_is_left_alone(ovn: TestOvn, backend: OvnBackend) -> None:
    backend.sweep(cloud())
    ovn.nbctl("ls-add", "theirs", "--", "lsp-add", "theirs", "their-port")
    ovn.nbctl("lsp-add", "n1", "their-port-on-ours", "--", "pg-add", "their_group", "p1", "their-port")
    ovn.nbctl("acl-add", "their_group", "to-lport", "2000", "outport == @their_group", "drop")
    ovn.nbctl("set", "logical_switch", "n1", "external_ids:their_mark=kept")
    theirs = [ovn.nbctl("show", "theirs"), ovn.nbctl("acl-list", "their_group")]
    backend.sweep(cloud())
    assert backend.sweep(Records(networks=cloud().networks)).changes > 0
    assert ovn.nbctl("show", "theirs") == theirs[0]
    assert ovn.nbctl("acl-list", "their_group") == theirs[1]
    assert len(ovn.nbctl("--bare", "--columns=ports", "list", "Port_Group", "their_group").split()) == 1
    assert "their-port-on-ours" in ovn.nbctl("lsp-list", "n1")
    assert ovn.nbctl("get", "logical_switch", "n1", "external_ids:their_mark").strip() == "kept"


def test_a_second_process_writes_nothing_until_the_first_has_gone(ovn: TestOvn, backend: OvnBackend) -> None:
    backend.sweep(cloud())
    second = OvnBackend(settings(ovn))
    try:
        until(second, lambda: bool(second.chassis))
        assert second.term() == 0
        with pytest.raises(BackendDown):
            second.sweep(Records())
        until(second, lambda: second.known() == backend.known())
        backend.close()
        until(second, lambda: second.term() > 0)
        assert second.sweep(Records()).changes > 0
    finally:
        second.close()


def test_a_lock_that_was_taken_away_stops_a_transaction_that_knows_nothing_of_it(
    ovn: TestOvn, backend: OvnBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database decides, not what this process believes."""
    assert backend.term()
    thief = subprocess.Popen(["ovsdb-client", "steal", ovn.northbound, LOCK], stdout=subprocess.PIPE, text=True)
    try:
        assert thief.stdout is not None
        assert "true" in thief.stdout.readline()
        monkeypatch.setattr(backend, "_run", lambda: None)
        with pytest.raises(BackendDown, match="not locked"):
            backend.sweep(cloud())
        assert ovn.nbctl("ls-list") == ""
    finally:
        thief.kill()
        thief.communicate()


def test_what_the_database_refuses_does_not_hold_up_the_rest(ovn: TestOvn, backend: OvnBackend) -> None:
    beyond = QosPolicy(id="q", rules=(QosRule(id="r", kind=DSCP_MARKING, dscp_mark=99),), **STANDARD)
    ports = [port(f"p{number}", "n1", number) for number in range(5)]
    odd = port("odd", "n1", 9, qos_policy_id="q")
    wanted = records(network("n1"), *ports, odd, qos_policies={"q": beyond})
    outcome = backend.sweep(wanted)
    assert list(outcome.failed) == [subject("port", "odd")]
    assert "refuses" in outcome.failed[subject("port", "odd")]
    assert backend.known() == {subject("network", "n1"), *(subject("port", each.id) for each in ports)}


def test_a_port_whose_network_is_not_there_waits_and_says_so(backend: OvnBackend) -> None:
    wanted = cloud()
    outcome = backend.bring_about(wanted, [subject("port", "p1")])
    assert outcome.failed == {subject("port", "p1"): "DHCP_Options s1 is not there yet"}
    assert subject("port", "p1") not in backend.known()


def test_a_port_is_claimed_by_the_host_that_it_is_bound_to_alone(ovn: TestOvn, backend: OvnBackend) -> None:
    first, second = (each.name for each in ovn.chassis)
    assert list(backend.unreached([first, "elsewhere", second])) == ["elsewhere"]
    backend.sweep(records(network("n1"), port("p1", "n1", 1, binding=bound(first))))
    assert ovn.nbctl("get", "logical_switch_port", "p1", "options:requested-chassis").strip() == first
    ovn.chassis[1].plug("p1")
    ovn.settle()
    assert ovn.sbctl("--bare", "--columns=chassis", "find", "Port_Binding", "logical_port=p1").strip() == ""
    backend.sweep(records(network("n1"), port("p1", "n1", 1, binding=bound(second))))
    until(backend, lambda: backend.statuses().get("p1", False))


def test_an_external_port_is_at_home_on_a_gateway(ovn: TestOvn, backend: OvnBackend) -> None:
    outside = port("p1", "n1", 1, ("s1", "10.0.0.3"), binding=bound("esxi-1", "dvs"))
    backend.sweep(records(network("n1", VLAN), subnet("s1", "n1", "10.0.0.0/24", "10.0.0.1"), outside))
    assert ovn.nbctl("lsp-get-type", "p1").strip() == "external"
    assert len(rows(ovn, "HA_Chassis", subject("network", "n1"))) == 2
    until(backend, lambda: backend.statuses().get("p1", False))
    assert backend.sweep(Records()).failed == {}
    assert ovn.nbctl("list", "HA_Chassis_Group") == ""


def test_chassis_that_would_be_taken_for_each_others_routers_are_told_of_once(
    ovn: TestOvn, caplog: pytest.LogCaptureFixture
) -> None:
    physical = (PhysicalNetwork(name=PHYSICAL_NETWORK, vlans=("100:199",)), PhysicalNetwork(name="flat", flat=True))
    last = ovn.chassis[-1]
    mapping = last.vsctl("get", "Open_vSwitch", ".", "external_ids:ovn-chassis-mac-mappings").strip()
    backend = connected(ovn, physical=physical)
    try:
        assert not caplog.records, "each has an address of its own"
        last.vsctl("remove", "Open_vSwitch", ".", "external_ids", "ovn-chassis-mac-mappings")
        until(backend, lambda: bool(caplog.records))
        ovn.chassis[0].vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-cms-options=enable-chassis-as-gw")
        until(backend, lambda: any(each.gateway for each in backend.chassis))
        [said] = caplog.messages
        assert said.startswith(f"chassis without a MAC address of their own on {PHYSICAL_NETWORK}: {last.name}. ")
    finally:
        backend.close()
        ovn.chassis[0].vsctl("remove", "Open_vSwitch", ".", "external_ids", "ovn-cms-options")
        last.vsctl("set", "Open_vSwitch", ".", f"external_ids:ovn-chassis-mac-mappings={mapping}")
