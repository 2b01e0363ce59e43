"""Security groups of cards, on the distributed ports of a test vCenter, which keeps traffic rules as they were sent."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import GuestSpec, HypervisorError, Unreachable, with_port_filter
from polyvisor.hypervisor.vsphere.traffic_filter import filter_policy, rules_of
from polyvisor.model.nic import Nic
from polyvisor.model.port_filter import Permit, PortFilter
from polyvisor.network.dvs.rule import TrafficRule
from polyvisor.network.dvs.translate import closed, translate

from .site import SWITCH, Site, nic_of

SSH = Permit(ingress=True, ethertype="IPv4", protocol="tcp", port_range_min=22, port_range_max=22)
WEB = Permit(ingress=True, ethertype="IPv4", protocol="tcp", port_range_min=80, port_range_max=81, stateful=False)


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=pytest.mark.xdist_group(f"vsphere-filters-{kind}")) for kind in SWITCH],
)
def whole_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with contextlib.ExitStack() as parts:
        yield Site(request.param, tmp_path_factory.mktemp("filters"), parts)


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    yield whole_site
    for guest in whole_site.driver.guests():
        if guest.server_id:
            whole_site.driver.destroy(guest.server_id)


only_distributed = pytest.mark.parametrize("whole_site", ["vcenter"], indirect=True)
only_standard = pytest.mark.parametrize("whole_site", ["esxi"], indirect=True)


def guarded(*permits: Permit, **changes: Any) -> Nic:
    """A card whose port lets these packets through."""
    bare = nic_of(**changes)
    filter = PortFilter(port_id=bare.port_id, addresses=("10.0.0.5/32",), permits=permits)
    return nic_of(**{**changes, "port_id": bare.port_id, "filter": filter})


def rules_at(site: Site, spec: GuestSpec) -> list[tuple[TrafficRule, ...] | None]:
    """The rules that each of the guest's ports has of its own."""
    keys = [card.backing.port.portKey for card in site.cards(spec)]
    switch = site.person.named(vim.DistributedVirtualSwitch, SWITCH[site.kind])
    found = {port.key: port for port in switch.FetchDVPorts(vim.dvs.PortCriteria(portKey=keys))}
    return [rules_of(found[key].config.setting.filterPolicy) for key in keys]


def wanted(nic: Nic, *, opening: bool = True) -> tuple[TrafficRule, ...]:
    assert nic.filter
    return translate(nic.filter, opening=opening).rules


def test_rules_are_read_back_as_they_were_sent() -> None:
    everything = PortFilter(
        port_id="p",
        addresses=("10.0.0.5/32", "10.9.0.0/16", "fd00::5/128"),
        permits=(SSH, WEB, Permit(ingress=False, ethertype="IPv6"), Permit(ingress=False, ethertype="IPv4")),
    )
    rules = translate(everything, opening=True).rules
    assert rules_of(filter_policy(rules)) == rules
    assert rules_of(filter_policy(())) == ()


def test_rules_that_are_not_like_ours_are_not_taken_for_ours() -> None:
    policy = filter_policy(closed())
    policy.filterConfig[0].trafficRuleset.rules[0].direction = "both"
    assert rules_of(policy) is None


@only_distributed
def test_a_guest_is_made_with_the_rules_of_its_ports(site: Site) -> None:
    first, second = guarded(SSH), guarded(WEB)
    spec = site.make(first, second)
    assert rules_at(site, spec) == [wanted(first), wanted(second)]
    later = guarded(SSH, WEB)
    site.driver.attach_nic(spec.server_id, later)
    assert rules_at(site, spec) == [wanted(first), wanted(second), wanted(later)]


@only_distributed
def test_a_port_is_closed_until_it_has_its_rules(site: Site) -> None:
    site.person.trouble("ReconfigureDVPort_Task", "task-fault", fault="ResourceInUse", message="Not now.")
    nic = guarded(SSH)
    with pytest.raises(HypervisorError, match="Not now"):
        site.make(nic)
    (guest,) = [guest for guest in site.driver.guests() if guest.server_id]
    card = next(iter(site.cards(GuestSpec(**_named(str(guest.server_id))))))
    group = site.person.named(vim.dvs.DistributedVirtualPortgroup, site.network_of(card))
    assert rules_of(site.person.get(group, "config.defaultPortConfig").filterPolicy) == closed()
    filtering = with_port_filter(site.driver)
    assert nic.filter
    assert filtering.filter_ports(site.host, [nic.filter]) == 1
    assert rules_at(site, GuestSpec(**_named(str(guest.server_id)))) == [wanted(nic)]


def _named(server_id: str) -> dict[str, Any]:
    none = {"name": "", "hostname": "", "project_id": "", "project_name": "", "image": None}
    return {**none, "server_id": server_id, "vcpus": 1, "memory_mib": 1, "root_gib": 0}


@only_distributed
def test_ports_follow_their_groups_and_only_those_that_changed_are_touched(site: Site) -> None:
    one, other = guarded(SSH), guarded(SSH)
    spec = site.make(one, other)
    assert one.filter
    assert other.filter
    changed = PortFilter(port_id=one.port_id, addresses=one.filter.addresses, permits=(SSH, WEB))
    elsewhere = PortFilter(port_id="not here")
    filtering = with_port_filter(site.driver)
    assert filtering.filter_ports(site.host, [changed, other.filter, elsewhere]) == 1
    assert rules_at(site, spec) == [translate(changed, opening=True).rules, wanted(other)]
    assert filtering.filter_ports(site.host, [changed, other.filter]) == 0

    switch = site.person.named(vim.DistributedVirtualSwitch, SWITCH[site.kind])  # somebody opens a port by hand
    key = site.cards(spec)[1].backing.port.portKey
    setting = vim.dvs.VmwareDistributedVirtualSwitch.VmwarePortConfigPolicy(filterPolicy=filter_policy(()))
    opened = vim.dvs.DistributedVirtualPort.ConfigSpec(operation="edit", key=key, setting=setting)
    site.person.do(lambda: switch.ReconfigureDVPort_Task([opened]))
    assert rules_at(site, spec)[1] == ()
    assert filtering.filter_ports(site.host, [changed, other.filter]) == 1
    assert rules_at(site, spec)[1] == wanted(other)


@only_distributed
def test_a_port_that_another_changes_at_once_is_tried_again(site: Site) -> None:
    nic = guarded(SSH)
    spec = site.make()
    site.person.trouble("ReconfigureDVPort_Task", "task-fault", fault="ConcurrentAccess", message="Another.")
    with pytest.raises(Unreachable):
        site.driver.attach_nic(spec.server_id, nic)
    site.driver.attach_nic(spec.server_id, nic)
    assert rules_at(site, spec) == [wanted(nic)]


@only_distributed
def test_where_nothing_may_be_opened_stateful_groups_are_refused(site: Site) -> None:
    strict = site.connect(security_groups="strict")
    before = site.person.files()
    with pytest.raises(HypervisorError, match="stateless group"):
        site.make(guarded(SSH), driver=strict)
    assert site.person.files() == before
    nic = guarded(WEB)
    spec = site.make(nic, driver=strict)
    assert rules_at(site, spec) == [wanted(nic, opening=False)]
    assert nic.filter
    changed = PortFilter(port_id=nic.port_id, addresses=nic.filter.addresses, permits=(SSH, WEB))
    assert with_port_filter(strict).filter_ports(site.host, [changed]) == 0  # what cannot be said is left out


@only_distributed
def test_where_filtering_is_off_everything_passes(site: Site) -> None:
    off = site.connect(security_groups="off")
    assert (off.hosts()[0].port_filter, site.driver.hosts()[0].port_filter) == ("none", "host")
    nic = guarded(SSH)
    spec = site.make(nic, driver=off)
    (card,) = site.cards(spec)
    group = site.person.named(vim.dvs.DistributedVirtualPortgroup, site.network_of(card))
    assert rules_of(site.person.get(group, "config.defaultPortConfig").filterPolicy) == ()
    assert nic.filter
    assert with_port_filter(off).filter_ports(site.host, [nic.filter]) == 0
    site.driver.attach_nic(spec.server_id, guarded(SSH, network_id=nic.network_id))  # turned on again
    assert rules_of(site.person.get(group, "config.defaultPortConfig").filterPolicy) == closed()


@only_standard
def test_standard_switches_filter_nothing_and_say_so(site: Site) -> None:
    with pytest.raises(HypervisorError, match=r'security_groups = "off"'):
        site.make(guarded(SSH))
    off = site.connect(security_groups="off")
    assert len(site.cards(site.make(guarded(SSH), driver=off))) == 1
    assert len(site.cards(site.make(nic_of(port_security=False)))) == 1
