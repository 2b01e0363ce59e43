"""Networks: port groups made, found again, put right and removed, and the cards that are plugged into them."""

import contextlib
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.model.network import NetworkType, SegmentRef

from .kit import NO_IMAGES, OTHER_CLOUD, DiskImage, ignore, spec_of
from .site import PHYSICAL, SWITCH, Site, nic_of


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=pytest.mark.xdist_group(f"vsphere-networks-{kind}")) for kind in SWITCH],
)
def whole_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with contextlib.ExitStack() as parts:
        site = Site(request.param, tmp_path_factory.mktemp("networks"), parts)
        site.built = frozenset(site.groups())
        yield site


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    """The site, which has neither guests nor port groups of ours before and after the test."""
    yield whole_site
    for guest in whole_site.driver.guests():
        if guest.server_id:
            whole_site.driver.destroy(guest.server_id)
    assert whole_site.groups() == {}


only_distributed = pytest.mark.parametrize("whole_site", ["vcenter"], indirect=True)


# What a host can carry


def test_a_host_tells_which_physical_networks_it_carries(site: Site) -> None:
    driver = site.connect(switches={"physnet1": SWITCH[site.kind], "physnet2": "nowhere"})
    (report,) = driver.hosts()
    assert report.physical_networks == {"physnet1"}
    assert not report.overlay
    assert any("nowhere" in warning and "physnet2" in warning for warning in report.warnings)


def test_a_host_without_mapped_switches_carries_none_and_says_nothing_of_it(site: Site) -> None:
    (report,) = site.connect(switches={}).hosts()
    assert report.physical_networks == frozenset()
    assert not any("switch" in warning for warning in report.warnings)


@only_distributed
def test_a_switch_is_named_by_its_path_too_and_several_may_be_named(site: Site) -> None:
    driver = site.connect(switches={PHYSICAL: ["elsewhere", "/DC0/network/DC0_DVS0"]})
    assert driver.hosts()[0].physical_networks == {PHYSICAL}


@only_distributed
def test_an_esxi_host_that_is_not_joined_to_the_switch_is_told(site: Site) -> None:
    switch = site.person.named(vim.DistributedVirtualSwitch, "DC0_DVS0")
    hosts = {name: site.person.named(vim.HostSystem, name) for name in ("DC0_C0_H0", "DC0_C0_H1")}
    _join(site, switch, "remove", hosts["DC0_C0_H1"])
    (report,) = site.driver.hosts()
    assert report.physical_networks == {PHYSICAL}
    assert any("DC0_C0_H1 is not joined to the switch DC0_DVS0" in warning for warning in report.warnings)
    _join(site, switch, "remove", hosts["DC0_C0_H0"])
    assert site.driver.hosts()[0].physical_networks == frozenset()
    with pytest.raises(HypervisorError, match="joined to the switch DC0_DVS0"):
        site.make(nic_of())
    for host in hosts.values():
        _join(site, switch, "add", host)
    assert not any("joined" in warning for warning in site.driver.hosts()[0].warnings)


def _join(site: Site, switch: Any, operation: str, host: Any) -> None:
    member = vim.dvs.HostMember.ConfigSpec(operation=operation, host=host)
    version = site.person.get(switch, "config.configVersion")
    spec = vim.DistributedVirtualSwitch.ConfigSpec(configVersion=version, host=[member])
    site.person.do(lambda: switch.ReconfigureDvs_Task(spec))


# Port groups


def test_a_network_has_a_port_group_with_its_vlan_as_long_as_a_guest_uses_it(site: Site) -> None:
    network = str(uuid.uuid4())
    specs = [site.make(nic_of(vlan=120, network_id=network)) for _ in range(2)]
    ((name, settings),) = site.groups().items()
    assert name.startswith("private (")
    assert network.partition("-")[0] in name
    assert settings == (120, [False, False, False])
    assert [site.network_of(card) for spec in specs for card in site.cards(spec)] == [name, name]
    site.driver.destroy(specs[0].server_id)
    assert set(site.groups()) == {name}
    site.driver.destroy(specs[1].server_id)
    assert site.groups() == {}
    site.make(nic_of(vlan=120, network_id=network))  # what the driver remembers of it is looked at again
    assert set(site.groups()) == {name}


def test_a_flat_network_has_no_vlan(site: Site) -> None:
    site.make(nic_of(segment=SegmentRef(network_type=NetworkType.FLAT, physical_network=PHYSICAL)))
    assert [vlan for vlan, _ in site.groups().values()] == [0]


def test_ports_without_port_security_are_on_a_port_group_of_their_own(site: Site) -> None:
    network = str(uuid.uuid4())
    spec = site.make(nic_of(network_id=network), nic_of(network_id=network, port_security=False))
    guarded, free = (site.network_of(card) for card in site.cards(spec))
    assert site.groups() == {guarded: (120, [False, False, False]), free: (120, [False, True, True])}


def test_many_who_need_a_port_group_at_once_share_one(site: Site) -> None:
    network = str(uuid.uuid4())
    drivers = [site.driver, site.connect()]
    with ThreadPoolExecutor(6) as threads:
        made = [threads.submit(site.make, nic_of(network_id=network), driver=drivers[i % 2]) for i in range(6)]
        specs = [each.result(120) for each in made]
    (name,) = site.groups()
    assert {site.network_of(card) for spec in specs for card in site.cards(spec)} == {name}
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda spec: site.driver.destroy(spec.server_id), specs))
    assert site.groups() == {}


def test_what_an_interrupted_creation_left_is_used_by_the_next_or_removed(site: Site) -> None:
    nic = nic_of()
    for ending in ("made", "removed"):
        spec = spec_of(nics=(nic,), root_gib=0)
        site.person.trouble("CreateVM_Task", "task-fault", fault="InsufficientResourcesFault", message="No room.")
        with pytest.raises(HypervisorError, match="No room"):
            site.driver.create(site.host, "", spec, NO_IMAGES, ignore)
        (left,) = site.groups()
        if ending == "made":
            site.driver.create(site.host, "", spec, NO_IMAGES, ignore)
            assert set(site.groups()) == {left}
        site.driver.destroy(spec.server_id)
        assert site.groups() == {}


def test_a_port_group_that_somebody_changed_is_put_right(site: Site) -> None:
    nic = nic_of(vlan=120)
    site.make(nic)
    (name,) = site.groups()
    if site.kind == "esxi":
        security = vim.host.NetworkPolicy.SecurityPolicy(allowPromiscuous=True, macChanges=False, forgedTransmits=False)
        policy = vim.host.NetworkPolicy(security=security)
        spec = vim.host.PortGroup.Specification(name=name, vlanId=7, vswitchName="vSwitch0", policy=policy)
        site.network_system.UpdatePortGroup(name, spec)
    else:
        dvs = vim.dvs.VmwareDistributedVirtualSwitch
        policy = dvs.VmwarePortConfigPolicy(vlan=dvs.VlanIdSpec(inherited=False, vlanId=7))
        group = site.person.named(vim.dvs.DistributedVirtualPortgroup, name)
        spec = vim.dvs.DistributedVirtualPortgroup.ConfigSpec(defaultPortConfig=policy)
        site.person.do(lambda: group.ReconfigureDVPortgroup_Task(spec))
    assert site.groups()[name][0] == 7
    site.make(nic_of(vlan=120, network_id=nic.network_id))
    assert site.groups() == {name: (120, [False, False, False])}


def test_a_network_that_was_renamed_keeps_its_port_group(site: Site) -> None:
    nic = nic_of(name="before")
    site.make(nic)
    (name,) = site.groups()
    site.make(nic_of(name="after", network_id=nic.network_id))
    assert set(site.groups()) == {name}


@only_distributed
def test_a_port_group_that_was_renamed_in_vcenter_is_found_by_its_mark(site: Site) -> None:
    nic = nic_of()
    spec = site.make(nic)
    (name,) = site.groups()
    group = site.person.named(vim.dvs.DistributedVirtualPortgroup, name)
    site.person.do(lambda: group.Rename_Task("renamed"))
    other = site.make(nic_of(network_id=nic.network_id))
    assert set(site.groups()) == {"renamed"}
    for each in (spec, other):
        site.driver.destroy(each.server_id)
    assert site.groups() == {}


@only_distributed
def test_a_port_group_of_somebody_else_with_our_name_is_left_alone(site: Site) -> None:
    nic = nic_of()
    theirs = f"private ({nic.network_id[:8]})"
    site.add_group(theirs, vlan=7)
    spec = site.make(nic)
    ours = site.network_of(site.cards(spec)[0])
    assert ours == f"private ({nic.network_id})"
    site.driver.destroy(spec.server_id)
    assert {name: vlan for name, (vlan, _) in site.groups().items()} == {theirs: 7}
    site.remove_group(theirs)


def test_a_port_group_of_another_cloud_is_left_alone(site: Site) -> None:
    other = site.connect(cloud_id=OTHER_CLOUD)
    theirs = site.make(nic_of(), driver=other)
    (name,) = site.groups()
    vm = site.person.vm(theirs.server_id)
    card = site.cards(theirs)[0]
    removed = vim.vm.device.VirtualDeviceSpec(operation="remove", device=card)
    site.person.do(lambda: vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[removed])))  # nobody uses it now
    site.driver.destroy(str(uuid.uuid4()))
    assert set(site.groups()) == {name}
    other.destroy(theirs.server_id)
    other.destroy(theirs.server_id)  # the second finds no VM, and looks for what is left
    assert site.groups() == {}


# Existing port groups


@pytest.mark.parametrize("named", ["by name", "by id"])
def test_an_existing_port_group_serves_a_network_and_outlives_it(site: Site, named: str) -> None:
    nic = nic_of(vlan=130, name="public")
    site.add_group("VLAN 130", vlan=130)
    driver = site.connect(port_groups={"public" if named == "by name" else nic.network_id: "VLAN 130"})
    spec = site.make(nic, driver=driver)
    assert [site.network_of(card) for card in site.cards(spec)] == ["VLAN 130"]
    driver.destroy(spec.server_id)
    assert set(site.groups()) == {"VLAN 130"}
    site.remove_group("VLAN 130")


def test_a_network_that_only_has_the_name_of_another_does_not_get_its_port_group(site: Site) -> None:
    site.add_group("VLAN 130", vlan=130)
    spec = site.make(nic_of(vlan=777, name="public"), driver=site.connect(port_groups={"public": "VLAN 130"}))
    (name,) = [site.network_of(card) for card in site.cards(spec)]
    assert name != "VLAN 130"
    assert site.groups()[name][0] == 777
    site.driver.destroy(spec.server_id)
    site.remove_group("VLAN 130")


def test_a_port_group_named_by_id_that_has_another_vlan_is_an_error(site: Site) -> None:
    site.add_group("VLAN 130", vlan=130)
    nic = nic_of(vlan=777)
    with pytest.raises(HypervisorError, match="VLAN 777"):
        site.make(nic, driver=site.connect(port_groups={nic.network_id: "VLAN 130"}))
    site.remove_group("VLAN 130")


# What cannot be


@pytest.mark.parametrize(
    ("segment", "sentence"),
    [
        (SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=5), "overlay"),
        (
            SegmentRef(network_type=NetworkType.VLAN, physical_network="other", segmentation_id=5),
            r"physical network other. Map it in `switches`",
        ),
        (SegmentRef(network_type=NetworkType.VLAN, physical_network=PHYSICAL, segmentation_id=4095), "4095"),
    ],
    ids=["overlay", "unmapped", "beyond"],
)
def test_a_network_that_cannot_be_carried_is_refused_before_anything_is_laid(
    site: Site, segment: SegmentRef, sentence: str
) -> None:
    before = site.person.files()
    with pytest.raises(HypervisorError, match=sentence):
        site.make(nic_of(segment=segment))
    assert site.person.files() == before
    spec = site.make()
    with pytest.raises(HypervisorError, match=sentence):
        site.driver.attach_nic(spec.server_id, nic_of(segment=segment))


# Cards


def test_cards_plugged_in_later_are_of_the_kind_the_image_asks_for(site: Site, tmp_path: Path) -> None:
    image = DiskImage(tmp_path, data_mib=1, size_mib=8, hw_vif_model="VirtualE1000e")
    spec = spec_of(nics=(nic_of(),), image=image.ref)
    site.driver.create(site.host, "", spec, image, ignore)
    site.driver.attach_nic(spec.server_id, nic_of())
    assert [type(card) for card in site.cards(spec)] == [vim.vm.device.VirtualE1000e] * 2


@pytest.mark.parametrize("running", [False, True], ids=["off", "running"])
def test_a_card_whose_plugging_got_no_reply_is_there_once(site: Site, running: bool) -> None:
    spec, nic = site.make(), nic_of()
    if running:
        site.person.do(site.person.vm(spec.server_id).PowerOn)
    site.person.trouble("ReconfigVM_Task", "drop-reply")
    with pytest.raises(Unreachable):
        site.driver.attach_nic(spec.server_id, nic)
    site.driver.attach_nic(spec.server_id, nic)
    assert [(card.macAddress, card.externalId) for card in site.cards(spec)] == [(nic.mac_address, nic.port_id)]


def test_a_port_group_goes_with_its_last_card_also_where_the_reply_was_lost(site: Site) -> None:
    first, second = nic_of(), nic_of()
    spec = site.make(first, second)
    assert len(site.groups()) == 2
    assert site.driver.detach_nic(spec.server_id, first.port_id)
    assert len(site.groups()) == 1
    site.person.trouble("ReconfigVM_Task", "drop-reply")
    with pytest.raises(Unreachable):
        site.driver.detach_nic(spec.server_id, second.port_id)
    assert site.driver.detach_nic(spec.server_id, second.port_id)
    assert site.cards(spec) == []
    assert site.groups() == {}


def test_cards_and_port_groups_outlive_a_crash_of_the_control_plane(site: Site) -> None:
    nic = nic_of()
    spec = site.make(nic)
    before = site.groups()
    site.vcenter.kill()
    site.vcenter.restart()
    assert site.groups() == before
    assert [site.network_of(card) for card in site.cards(spec)] == list(before)
    assert site.driver.detach_nic(spec.server_id, nic.port_id)
    assert site.groups() == {}
