"""What the cloud is told of clusters and of a direct ESXi host."""

import functools

import pytest
from pyVmomi import vim

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.vsphere.cluster import failover_reserve, version_number
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.model.host import Capacity, HostReport, Member
from polyvisor.model.power import Power
from testbed.vcenter import TestVcenter

from .conftest import Connect, StartVcenter
from .kit import NO_IMAGES, Person, ignore, spec_of


def only(reports: list[HostReport]) -> HostReport:
    (report,) = reports
    return report


def test_a_cluster_is_one_hypervisor_with_its_esxi_hosts_and_datastores_below_it(
    start_vcenter: StartVcenter, connect: Connect
) -> None:
    vcenter = start_vcenter(hosts=3, datastores=2, host_cpus=8, host_memory_mib=4096, datastore_gib=100)
    report = only(connect(vcenter).hosts())
    assert report.name == "DC0_C0.vc1"
    assert report.capacity == Capacity(vcpus=24, memory_mib=3 * 4096, disk_gib=200)
    assert (report.largest_vcpus, report.largest_memory_mib) == (8, 4096)
    assert [member.name for member in report.members] == ["DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2"]
    assert [(store.name, store.shared, store.kind) for store in report.datastores] == [
        ("datastore1", True, "VMFS"),
        ("datastore2", True, "VMFS"),
    ]
    assert report.warnings == ()


def test_one_connection_serves_every_cluster(start_vcenter: StartVcenter, connect: Connect) -> None:
    vcenter = start_vcenter(datacenters=2, clusters=2)
    names = [report.name for report in connect(vcenter).hosts()]
    assert names == ["DC0_C0.vc1", "DC0_C1.vc1", "DC1_C0.vc1", "DC1_C1.vc1"]


@pytest.mark.parametrize("chosen", ["DC0_C1", "DC0/host/DC0_C1", "/DC0/host/DC0_C1"])
def test_a_cluster_may_be_chosen_by_name_or_path(start_vcenter: StartVcenter, connect: Connect, chosen: str) -> None:
    vcenter = start_vcenter(clusters=2)
    assert only(connect(vcenter, clusters=(chosen,)).hosts()).name == "DC0_C1.vc1"


def test_a_cluster_that_is_not_there_is_named(vcenter: TestVcenter, connect: Connect) -> None:
    with pytest.raises(HypervisorError, match="no cluster Nowhere"):
        connect(vcenter, clusters=("Nowhere",)).hosts()


def test_a_cluster_named_in_vain_does_not_keep_the_others_from_serving(vcenter: TestVcenter, connect: Connect) -> None:
    (sentence,) = only(connect(vcenter, clusters=("DC0_C0", "Nowhere")).hosts()).warnings
    assert "no cluster Nowhere" in sentence


def test_clusters_of_the_same_name_in_two_vcenters_are_two_hosts(start_vcenter: StartVcenter, connect: Connect) -> None:
    first, second = start_vcenter(), start_vcenter()
    names = [only(connect(each, place=place).hosts()).name for each, place in ((first, "vc1"), (second, "vc2"))]
    assert names == ["DC0_C0.vc1", "DC0_C0.vc2"]


def test_a_cluster_renamed_in_vcenter_stays_the_same_host(
    vcenter: TestVcenter, connect: Connect, person: Person
) -> None:
    driver = connect(vcenter, state="kept")
    before = only(driver.hosts()).name
    cluster = person.named(vim.ClusterComputeResource, "DC0_C0")
    person.do(lambda: cluster.Rename("Renamed"))
    assert only(driver.hosts()).name == before
    assert only(connect(vcenter, state="kept").hosts()).name == before  # and after a restart of ours


def test_a_host_in_maintenance_does_not_count(driver: VsphereDriver, person: Person) -> None:
    before = only(driver.hosts())
    host = person.named(vim.HostSystem, "DC0_C0_H0")
    person.do(lambda: host.EnterMaintenanceMode(0, False, None))
    after = only(driver.hosts())
    assert after.capacity.vcpus == before.capacity.vcpus // 2
    assert after.capacity.memory_mib == before.capacity.memory_mib // 2
    assert [member.in_maintenance for member in after.members] == [True, False]
    assert all(store.shared for store in after.datastores)  # all hosts that count reach them


def test_no_server_is_made_where_no_host_is_in_service(driver: VsphereDriver, person: Person) -> None:
    name = only(driver.hosts()).name
    for host, _ in person.all(vim.HostSystem):
        person.do(functools.partial(host.EnterMaintenanceMode, 0, False, None))
    assert only(driver.hosts()).capacity == Capacity(vcpus=0, memory_mib=0, disk_gib=0)
    with pytest.raises(HypervisorError, match="datastore"):
        driver.create(name, "", spec_of(), NO_IMAGES, ignore)


def test_memory_of_others_running_vms_is_not_ours_to_give(driver: VsphereDriver, person: Person) -> None:
    before = only(driver.hosts()).capacity.memory_mib
    vm = person.make_vm("theirs", memory_mib=512)
    person.do(vm.PowerOn)
    driver.guests()
    assert only(driver.hosts()).capacity.memory_mib == before - 512


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"drs": "off"}, "DRS is off"),
        ({"drs": "manual"}, "DRS of the cluster DC0_C0 is manual"),
        ({"drs": "partiallyAutomated"}, "is partiallyAutomated"),
        ({"vmotion": False}, "vMotion is not enabled on DC0_C0_H0, DC0_C0_H1"),
        ({"no_shared_storage": True}, "is reached by all hosts"),
    ],
)
def test_what_is_wrong_with_a_joining_cluster_is_told(
    start_vcenter: StartVcenter, connect: Connect, options: dict[str, object], told: str
) -> None:
    (sentence,) = only(connect(start_vcenter(**options)).hosts()).warnings
    assert told in sentence


def test_what_goes_wrong_after_joining_is_told_and_taken_back(driver: VsphereDriver, person: Person) -> None:
    assert only(driver.hosts()).warnings == ()
    cluster = person.named(vim.ClusterComputeResource, "DC0_C0")
    for enabled, warnings in ((False, 1), (True, 0)):
        drs = vim.cluster.DrsConfigInfo(enabled=enabled, defaultVmBehavior="fullyAutomated")
        spec = vim.cluster.ConfigSpecEx(drsConfig=drs)
        person.do(functools.partial(cluster.ReconfigureEx, spec, True))
        assert len(only(driver.hosts()).warnings) == warnings


def test_only_datastores_that_the_regex_matches_are_used(start_vcenter: StartVcenter, connect: Connect) -> None:
    vcenter = start_vcenter(datastores=3)
    driver = connect(vcenter, datastore_regex="datastore[23]")
    report = only(driver.hosts())
    assert [store.name for store in report.datastores] == ["datastore2", "datastore3"]
    spec = spec_of()
    driver.create(report.name, "datastore1", spec, NO_IMAGES, ignore)
    assert not (vcenter.data_dir / "datastores" / "DC0" / "datastore1" / f"pv-{spec.server_id}").exists()


def test_a_regex_that_matches_nothing_is_told(vcenter: TestVcenter, connect: Connect) -> None:
    (sentence,) = only(connect(vcenter, datastore_regex="gold.*").hosts()).warnings
    assert "gold.*" in sentence


def test_a_direct_esxi_host_says_what_it_lacks_and_runs_servers(start_vcenter: StartVcenter, connect: Connect) -> None:
    driver = connect(start_vcenter(esx=True))
    report = only(driver.hosts())
    assert any("no vMotion, HA or DRS" in sentence for sentence in report.warnings)
    spec = spec_of(config_drive=True)
    driver.create(report.name, "", spec, NO_IMAGES, ignore)
    driver.set_power(spec.server_id, Power.ON)
    guest = driver.look(spec.server_id)
    assert guest is not None
    assert (guest.power, guest.host, guest.member) == (Power.ON, report.name, report.members[0].name)
    driver.destroy(spec.server_id)
    assert driver.guests() == []


@pytest.mark.parametrize(
    ("policy", "reserve"),
    [
        (vim.cluster.FailoverLevelAdmissionControlPolicy(failoverLevel=1), (16, 200)),
        (
            vim.cluster.FailoverResourcesAdmissionControlPolicy(
                cpuFailoverResourcesPercent=25, memoryFailoverResourcesPercent=50
            ),
            (6, 150),
        ),
        (vim.cluster.FailoverHostAdmissionControlPolicy(failoverHosts=[]), (0, 0)),
        (None, (0, 0)),
    ],
)
def test_what_ha_keeps_for_a_failed_host_is_not_given_to_servers(policy: object, reserve: tuple[int, int]) -> None:
    # The simulator keeps no admission control policy, so this is shown on vSphere's own record of it.
    members = [
        Member(name="a", vcpus=8, memory_mib=100, memory_used_mib=0),
        Member(name="b", vcpus=16, memory_mib=200, memory_used_mib=0),
    ]
    das = vim.cluster.DasConfigInfo(enabled=True, admissionControlEnabled=True, admissionControlPolicy=policy)
    assert failover_reserve(das, members) == reserve
    das.admissionControlEnabled = False
    assert failover_reserve(das, members) == (0, 0)


def test_the_version_is_counted_as_libvirt_counts() -> None:
    assert version_number("8.0.3") == 8_000_003
    assert version_number("9") == 9_000_000
