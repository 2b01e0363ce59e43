"""Records for the metadata service: hosts, networks with a metadata port each, and servers with ports on them."""

import base64
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import insert

from polyvisor.model.flavor import Flavor
from polyvisor.model.held_place import HeldPlace
from polyvisor.model.host import Capacity, Host, HostReport, HostState, HypervisorType
from polyvisor.model.image import ImageRef
from polyvisor.model.ip import key_of
from polyvisor.model.metadata import MetadataAnswer, MetadataAsked
from polyvisor.model.network import Network, NetworkType, SegmentRef
from polyvisor.model.port import METADATA, Binding, FixedIp, Port
from polyvisor.model.server import Server, ServerPort
from polyvisor.model.subnet import Subnet
from polyvisor.store.database import Database
from polyvisor.store.network import network as network_table
from polyvisor.store.port_tables import port as port_table
from polyvisor.store.port_tables import port_address
from polyvisor.store.segment import segment as segment_table
from polyvisor.store.store import Store
from polyvisor.store.subnet import subnet as subnet_table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample ann@laptop"
USER_DATA = b"#cloud-config\nhostname: told\n"
GENEVE = SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=7)
VLAN = SegmentRef(network_type=NetworkType.VLAN, physical_network="physnet1", segmentation_id=100)


def uid(text: str) -> str:
    """An id that follows from a word."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, text))


def server(name: str, project_id: str, **fields: Any) -> Server:
    """A server that has everything that its guest can be told."""
    values: dict[str, Any] = {
        "id": uid(name), "name": name, "project_id": project_id, "user_id": "u", "hostname": name,
        "flavor": Flavor(id="1", name="m1.tiny", vcpus=1, memory_mib=512, root_gib=1, created_at=NOW),
        "image": ImageRef(
            id=uid("image"), disk_format="qcow2", container_format="bare", size_bytes=1, virtual_size_bytes=1,
            sha512="0",
        ),
        "key_name": "laptop", "key_data": KEY, "user_data": base64.b64encode(USER_DATA).decode(),
        "metadata": {"role": "web"}, "zone": "nova", "reservation_id": "r-abc", "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Server(**values | fields)


class Estate:
    """Writes records into a database, straight into the tables."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now, self.later = NOW, NOW + timedelta(seconds=1)

    def host(
        self, name: str, place: str, *, agent_id: str = "", physical: tuple[str, ...] = (),
        kind: HypervisorType = HypervisorType.KVM,
    ) -> None:  # fmt: skip
        """A host at a place that an agent holds; "" = `up`."""
        report = HostReport(
            name=name, hypervisor_type=kind, hypervisor_version=1, architecture="x86_64",
            capacity=Capacity(vcpus=4, memory_mib=4096, disk_gib=100), largest_vcpus=4, largest_memory_mib=4096,
            physical_networks=frozenset(physical),
        )  # fmt: skip
        made = Host(
            id=0, uuid=uid(name), place=place, report=report, state=HostState.UP, zone="nova", vcpu_ratio=1,
            memory_ratio=1, disk_ratio=1, created_at=NOW, seen_at=NOW,
        )  # fmt: skip
        held = HeldPlace(name=place, holder=f"{agent_id}:s", agent_id=agent_id, held_until=NOW, seen_at=NOW)
        with self.database.write() as store:
            store.host.join([made])
            store.place.add([held])

    def network(self, name: str, project_id: str, cidr: str = "10.0.0.0/24", segment: SegmentRef = GENEVE) -> str:
        """A network with one subnet, and its metadata port at the second address."""
        id = uid(name)
        common: dict[str, Any] = {"project_id": project_id, "created_at": NOW, "updated_at": NOW}
        record = Network(id=id, name=name, mtu=1442, segments=(segment,), subnet_ids=(uid(name + cidr),), **common)
        with self.database.write() as store:
            _insert(store, network_table, record)
            store.connection.execute(
                insert(segment_table).values(
                    id=uid(f"segment {name}"),
                    name="",
                    description="",
                    revision_number=0,
                    tags=(),
                    network_id=id,
                    position=0,
                    slot=name,
                    **common,
                    **msgspec.structs.asdict(segment),
                )
            )
            _insert(
                store, subnet_table,
                Subnet(
                    id=uid(name + cidr), network_id=id, ip_version=4, cidr=cidr, gateway_ip=None,
                    dns_nameservers=("192.0.2.53",), **common,
                ), last_key="",
            )  # fmt: skip
        self.port(f"metadata of {name}", name, _address(cidr, 2), owner=METADATA, device=f"ovnmeta-{id}", cidr=cidr)
        return id

    def port(
        self, name: str, network: str, *addresses: str, owner: str = "compute:nova", device: str = "", host: str = "",
        vif_type: str = "ovs", mac: str = "", cidr: str = "10.0.0.0/24", project_id: str = "p",
    ) -> Port:  # fmt: skip
        """A port with these addresses of the network's subnet."""
        made = Port(
            id=uid(name), name=name, project_id=project_id, network_id=uid(network), device_id=device,
            device_owner=owner, mac_address=mac or "fa:16:3e:" + ":".join(uid(name)[at : at + 2] for at in (0, 2, 4)),
            fixed_ips=tuple(FixedIp(subnet_id=uid(network + cidr), ip_address=each) for each in addresses),
            binding=Binding(host=host, vif_type=vif_type), created_at=NOW, updated_at=NOW,
        )  # fmt: skip
        fields = {name: value for name, value in msgspec.structs.asdict(made).items() if name != "trunk"}
        binding = msgspec.structs.asdict(fields.pop("binding"))
        with self.database.write() as store:
            store.connection.execute(insert(port_table).values(**fields, **binding))
            for each in made.fixed_ips:
                row = {"key": key_of(each.ip_address), "port_id": made.id, **msgspec.structs.asdict(each)}
                store.connection.execute(insert(port_address).values(**row))
        return made

    def server(self, name: str, project_id: str, network: str, address: str, host: str, **more: Any) -> Server:
        """A server on a host, with one port."""
        port = ServerPort(port_id=uid(f"port of {name}"), tag=f"tag of {name}", made=True)
        made = server(name, project_id, host=host, ports=(port,))
        with self.database.write() as store:
            store.server.create([made])
        self.port(f"port of {name}", network, address, device=made.id, host=host, project_id=project_id, **more)
        return made


def asked(network: str, address: str, path: str, method: str = "GET", body: bytes = b"") -> MetadataAsked:
    """A question of a guest."""
    return MetadataAsked(network_id=uid(network), address=address, method=method, path=path, body=body)


def name_in(answer: MetadataAnswer) -> str:
    """Whose meta_data.json it is."""
    assert answer.status == 200, answer
    return str(msgspec.json.decode(answer.body)["name"])


def _address(cidr: str, number: int) -> str:
    return f"{cidr.rpartition('.')[0]}.{number}"


def _insert(store: Store, table: Any, record: Any, **more: Any) -> None:
    fields = {name: value for name, value in msgspec.structs.asdict(record).items() if name in table.c}
    store.connection.execute(insert(table).values(**fields, **more))
