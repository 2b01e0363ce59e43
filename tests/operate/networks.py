"""Networks and ports in the store, as requests to the Networking API make them."""

from datetime import datetime
from typing import Any

from polyvisor.model.network import Network, NetworkType, SegmentRef
from polyvisor.model.network_settings import NetworkSettings, PhysicalNetwork
from polyvisor.model.port import Port, PortWanted
from polyvisor.model.subnet import Pool, Subnet
from polyvisor.store.store import Store

SETTINGS = NetworkSettings(
    backend="simulated", physical=(PhysicalNetwork(name="physnet1", vlans=("100:199",), flat=True),)
)
VLAN = SegmentRef(network_type=NetworkType.VLAN, physical_network="physnet1", segmentation_id=100)


def put_network(
    store: Store, number: int, *, project_id: str, now: datetime, segment: SegmentRef | None = None, **values: Any
) -> Network:
    """A network with one IPv4 subnet, 10.0.NUMBER.0/24; on geneve where no segment is given."""
    id = f"00000000-0000-4000-8000-{number:012d}"
    record = Network(
        id=id, project_id=project_id, mtu=0, created_at=now, updated_at=now, **{"name": f"net-{number}", **values}
    )
    store.network.create(record, segments=(segment,) if segment else (), settings=SETTINGS)
    store.subnet.create(
        Subnet(
            id=id.replace("0", "5", 1),
            project_id=project_id,
            network_id=id,
            ip_version=4,
            cidr=f"10.0.{number}.0/24",
            gateway_ip=f"10.0.{number}.1",
            allocation_pools=(Pool(start=f"10.0.{number}.2", end=f"10.0.{number}.254"),),
            created_at=now,
            updated_at=now,
        ),
        now,
    )
    return store.network.get(id)


def put_port(store: Store, id: str, network: Network, now: datetime, **values: Any) -> Port:
    """A port on it, of the network's project where no other is given."""
    wanted = PortWanted(**{"project_id": network.project_id, "network_id": network.id, **values})
    return store.port.create(wanted, id=id, now=now, settings=SETTINGS)
