"""Networks: a logical switch each, with its ways to physical networks, its gateways, and its subnets' DHCP options."""

from collections.abc import Iterator

from polyvisor.model.network import Network
from polyvisor.network.backend import Subject
from polyvisor.network.ovn import dhcp
from polyvisor.network.ovn.row import Place, Row, some
from polyvisor.network.ovn.view import View, physical_networks


def rows(view: View, subject: Subject) -> Iterator[Row]:
    """All of a network but its ports."""
    network = view.records.networks[subject.id]
    yield Row(table="Logical_Switch", key=network.id, subject=subject, columns={"name": network.id})
    yield from _local_ports(network, subject)
    yield from _gateways(view, network, subject)
    for subnet in view.subnets(network.id):
        yield from dhcp.subnet_rows(view, network, subnet, subject)


def _local_ports(network: Network, subject: Subject) -> Iterator[Row]:
    """A port for each segment that a physical network carries, by which its frames leave the overlay."""
    for number, segment in enumerate(network.segments):
        if segment.physical_network is None:
            continue
        name = f"{network.id}-localnet-{number}"
        tag = some(segment.segmentation_id) if segment.segmentation_id is not None else frozenset()
        yield Row(
            table="Logical_Switch_Port",
            key=name,
            subject=subject,
            columns={
                "name": name,
                "type": "localnet",
                "addresses": some("unknown"),
                "options": {"network_name": segment.physical_network},
                "tag": tag,
            },
            places=(Place(table="Logical_Switch", key=network.id, column="ports"),),
        )


def _gateways(view: View, network: Network, subject: Subject) -> Iterator[Row]:
    """The chassis that answer for ports which are on a physical network and not on any chassis."""
    carried_by = physical_networks(network)
    if not carried_by:
        return
    name = group_name(network.id)
    yield Row(table="HA_Chassis_Group", key=network.id, subject=subject, columns={"name": name})
    chosen = view.site.gateways(carried_by, view.gateway_seed(network.id))
    for priority, chassis in enumerate(reversed(chosen), 1):
        yield Row(
            table="HA_Chassis",
            key=f"{network.id} {chassis}",
            subject=subject,
            columns={"chassis_name": chassis, "priority": priority},
            places=(Place(table="HA_Chassis_Group", key=network.id, column="ha_chassis"),),
        )


def group_name(network_id: str) -> str:
    """The name of the group of gateways of a network."""
    return f"polyvisor-{network_id}"
