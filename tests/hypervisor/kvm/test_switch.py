"""What the KVM driver learns of its host's Open vSwitch, and what it says where that is not there."""

from collections.abc import Iterator

import pytest

from polyvisor.hypervisor.driver import HypervisorError, Unreachable
from polyvisor.hypervisor.kvm.settings import KvmSettings
from polyvisor.hypervisor.kvm.switch import Switch
from polyvisor.model.host import Reach
from testbed.netns import Network
from testbed.openvswitch import TestOpenvSwitch

pytestmark = pytest.mark.xdist_group("kvm-switch")


@pytest.fixture(scope="module")
def openvswitch() -> Iterator[TestOpenvSwitch]:
    with Network("kvm") as network, TestOpenvSwitch(network.namespace("kvm")) as made:
        made.add_bridge("br-int")
        yield made


def switch(database: str, bridge: str = "br-int") -> Switch:
    return Switch("kvm-1", KvmSettings(openvswitch_database=database, integration_bridge=bridge))


def test_the_bridge_says_where_it_forwards(openvswitch: TestOpenvSwitch) -> None:
    assert switch(openvswitch.database).is_userspace()
    openvswitch.vsctl("--no-wait", "set", "Bridge", "br-int", "datapath_type=system")
    assert not switch(openvswitch.database).is_userspace()
    openvswitch.vsctl("set", "Bridge", "br-int", "datapath_type=netdev")


def test_a_host_without_the_bridge_is_told_so(openvswitch: TestOpenvSwitch) -> None:
    with pytest.raises(HypervisorError, match="has no Open vSwitch bridge br-lab") as refused:
        switch(openvswitch.database, "br-lab").is_userspace()
    assert not isinstance(refused.value, Unreachable)


def test_an_open_vswitch_that_does_not_answer_is_unreachable_and_reaches_nothing() -> None:
    gone = switch("unix:/nowhere/db.sock")
    with pytest.raises(Unreachable, match="does not answer"):
        gone.is_userspace()
    assert gone.reach() == Reach()


def test_what_ovn_connects_the_host_to_is_its_reach(openvswitch: TestOpenvSwitch) -> None:
    asked = switch(openvswitch.database)
    assert asked.reach() == Reach()
    told = {
        "ovn-encap-type": "geneve,vxlan",
        "ovn-encap-ip": "192.0.2.1",
        "ovn-bridge-mappings": "physnet1:br-ex,lab:br-lab",
    }
    openvswitch.vsctl("set", "Open_vSwitch", ".", *(f'external_ids:{name}="{value}"' for name, value in told.items()))
    assert asked.reach() == Reach(overlay=True, physical_networks=frozenset({"physnet1", "lab"}))
