"""The whole way: records, OVN, a guest that asks DHCP, and a process beside each chassis that is asked and killed."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.model.host import HypervisorType
from polyvisor.model.metadata import ADDRESS_6
from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.operate.metadata_station import outer_name
from testbed.ovn import TestOvn
from testbed.ovn_chassis import PHYSICAL_NETWORK, TestChassis
from testbed.process import wait_for
from tests.api.metadata.estate import NOW
from tests.network.metadata.bed import PATIENCE_SECONDS, Bed, ask, take_address

pytestmark = pytest.mark.xdist_group("ovn")


@pytest.fixture
def bed(tmp_path: Path, ovn: TestOvn) -> Iterator[Bed]:
    made = Bed(tmp_path, ovn)
    yield made
    made.stop()


def plugged(chassis: TestChassis) -> set[str]:
    """The cards of namespaces on a chassis."""
    return {name for name in chassis.vsctl("list-ports", "br-int").split() if name.startswith("pm")}


def test_guests_of_two_projects_are_told_of_themselves_on_every_chassis_and_after_a_kill(bed: Bed) -> None:
    one, other = bed.ovn.chassis
    red, blue = bed.network("red-net", "red"), bed.network("blue-net", "blue", ipv6=True)
    _, red_guest = bed.guest("red-server", "red", red, one)
    _, blue_guest = bed.guest("blue-server", "blue", blue, one)
    red_port, far_guest = bed.guest("far-server", "red", red, other)
    # Both of the first chassis have the same address.
    for guest, name in ((red_guest, "red-server"), (blue_guest, "blue-server"), (far_guest, "far-server")):
        bed.until_told(guest, name)
    bed.until_told(blue_guest, "blue-server", f"{ADDRESS_6}%eth0")
    assert plugged(one) == {outer_name(red), outer_name(blue)}
    assert plugged(other) == {outer_name(red)}
    another_s = red_port.fixed_ips[0].ip_address
    red_guest.run("ip", "addr", "add", f"{another_s}/24", "dev", "eth0")
    assert ask(red_guest, source=another_s) == "", "it has asked in the name of its neighbour"

    bed.stations[one.name].end(signal.SIGKILL)
    assert ask(red_guest) == ""
    assert ask(far_guest) == "far-server", "another chassis goes on"
    bed.stations[one.name].start()
    bed.until_told(red_guest, "red-server")
    bed.until_told(blue_guest, "blue-server")

    with bed.database.write() as store:
        store.port.bind([red_port.id], host="", vif_type="unbound", now=NOW)
    wait_for(lambda: plugged(other) == set(), PATIENCE_SECONDS, lambda: f"{plugged(other)} stay")


def test_what_a_killed_process_has_left_of_a_network_that_is_gone_is_removed(bed: Bed) -> None:
    one, _ = bed.ovn.chassis
    red, blue = bed.network("red-net", "red"), bed.network("blue-net", "blue")
    gone, red_guest = bed.guest("red-server", "red", red, one)
    _, blue_guest = bed.guest("blue-server", "blue", blue, one)
    bed.until_told(red_guest, "red-server")
    bed.until_told(blue_guest, "blue-server")
    bed.stations[one.name].end(signal.SIGKILL)
    assert plugged(one) == {outer_name(red), outer_name(blue)}
    with bed.database.write() as store:
        store.port.delete([gone.id], NOW)
    bed.stations[one.name].start()
    wait_for(lambda: plugged(one) == {outer_name(blue)}, PATIENCE_SECONDS, lambda: f"{plugged(one)} are there")
    bed.until_told(blue_guest, "blue-server")


def test_a_guest_on_vsphere_asks_the_chassis_that_is_its_network_s_gateway(bed: Bed) -> None:
    bed.estate.host("cluster", "vc", physical=(PHYSICAL_NETWORK,), kind=HypervisorType.VMWARE)
    vlan = SegmentRef(network_type=NetworkType.VLAN, physical_network=PHYSICAL_NETWORK, segmentation_id=100)
    shared = bed.network("shared", "red", segments=(vlan,))
    port = bed.port("vm", "red", shared, "cluster", "dvs")
    gateway = bed.gateway(port.id)
    # The port group's VLAN reaches the gateway by its physical network, as a trunk from the site's switch would.
    guest = gateway.guest(port.id, port.mac_address)
    card = f"tap{port.id[:11]}"
    gateway.vsctl("del-port", "br-int", card, "--", "add-port", "br-ex", card, "tag=100")
    take_address(guest, port)
    bed.until_told(guest, "vm")
