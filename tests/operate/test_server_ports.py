"""Where servers' ports are bound, and which of a network's segments their cards are on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyvisor.model.errors import Conflict
from polyvisor.model.host import HypervisorType
from polyvisor.model.network import Network, NetworkType, SegmentRef
from polyvisor.model.operation import OperationState
from polyvisor.model.server import ServerPort
from polyvisor.operate import server_ports
from tests.api.compute.estate import NOW, host
from tests.operate.cloud import ROOM_FOR_ONE, Cloud
from tests.operate.networks import SETTINGS, VLAN, put_network, put_port

GENEVE = SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=77)
PORT = "bbbbbbbb-0000-4000-8000-000000000001"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path, networked=True)
    yield made
    made.close()


def put_on_both(cloud: Cloud) -> ServerPort:
    """A port on a network that an overlay and a VLAN carry."""
    network = Network(
        id="00000000-0000-4000-8000-000000000009", project_id="p", mtu=0, name="both", created_at=NOW, updated_at=NOW
    )
    with cloud.database.write() as store:
        store.network.create(network, segments=(GENEVE, msgspec.structs.replace(VLAN, segmentation_id=101)),
                             settings=SETTINGS)  # fmt: skip
        put_port(store, PORT, network, NOW)
    return ServerPort(port_id=PORT, tag="lan")


@pytest.mark.parametrize(
    ("kind", "report", "vif_type", "carried"),
    [
        (HypervisorType.KVM, {"overlay": True}, "ovs", NetworkType.GENEVE),
        (HypervisorType.QEMU, {"overlay": True, "physical_networks": {"physnet1"}}, "ovs", NetworkType.GENEVE),
        (HypervisorType.VMWARE, {"physical_networks": {"physnet1"}}, "dvs", NetworkType.VLAN),
        (HypervisorType.SIMULATED, {"physical_networks": {"*"}}, "simulated", NetworkType.VLAN),
    ],
)
def test_a_port_is_bound_by_the_kind_of_its_host_and_on_a_segment_that_reaches_it(
    cloud: Cloud, kind: HypervisorType, report: dict[str, Any], vif_type: str, carried: NetworkType
) -> None:
    report = {"hypervisor_type": kind, **report}
    if "physical_networks" in report:
        report["physical_networks"] = frozenset(report["physical_networks"])
    port = put_on_both(cloud)
    with cloud.database.write() as store:
        [nic] = server_ports.bind(store, [port], host("there", report=report), NOW)
        bound = store.port.get(PORT)
    assert (bound.binding.host, bound.binding.vif_type) == ("there", vif_type)
    assert nic.segment.network_type is carried
    assert nic.tag == "lan"


def test_a_host_that_carries_no_segment_gets_no_port(cloud: Cloud) -> None:
    port = put_on_both(cloud)
    with cloud.database.write() as store:
        with pytest.raises(Conflict, match="there cannot carry the network both"):
            server_ports.bind(store, [port], host("there"), NOW)
        assert store.port.get(PORT).binding.host == ""


def test_what_is_bound_already_keeps_its_status_and_is_told_to_no_backend(cloud: Cloud) -> None:
    port = put_on_both(cloud)
    there = host("there", report={"overlay": True})
    with cloud.database.write() as store:
        server_ports.bind(store, [port], there, NOW)
        store.port.set_status({PORT: "ACTIVE"}, NOW)
        before = store.port.get(PORT)
        server_ports.bind(store, [port], there, NOW)
        assert store.port.get(PORT) == before


def test_a_server_on_a_network_that_no_host_carries_fails_with_a_sentence(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(ROOM_FOR_ONE, overlay=False)
    cloud = Cloud(tmp_path, settings, networked=True)
    try:
        server_id = cloud.ask_for_server()
        cloud.settle()
        server = cloud.server(server_id)
        assert cloud.operations()[0].state is OperationState.FAILED
        assert server.fault is not None
        assert "is not connected to the network net-1" in server.fault.message
        assert "carries no geneve networks, and the network net-1 is one" in server.fault.details
    finally:
        cloud.close()


def test_the_networks_of_ports_that_are_still_there_are_asked_of_a_host(cloud: Cloud) -> None:
    with cloud.database.write() as store:
        other = put_network(store, 7, project_id="p", now=NOW, segment=msgspec.structs.replace(VLAN, segmentation_id=9))
        put_port(store, PORT, other, NOW)
        found = server_ports.needs(store, [ServerPort(port_id=PORT), ServerPort(port_id="gone")])
    assert [(each.name, each.segments[0].segmentation_id) for each in found] == [("net-7", 9)]
