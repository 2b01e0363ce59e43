"""Hosts and servers, put into the store as an inventory and a create would."""

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from polyvisor.model.flavor import Flavor
from polyvisor.model.host import Capacity, Host, HostReport, HostState, HypervisorType
from polyvisor.model.server import Server, VmState
from polyvisor.store.database import Database

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SMALL = Flavor(id="s", name="small", vcpus=2, memory_mib=512, root_gib=10, ephemeral_gib=2, created_at=NOW)


def host(name: str, **values: Any) -> Host:
    """A KVM host with 8 vCPUs, 16 GiB and 100 GiB; `report` replaces parts of its report."""
    report = HostReport(
        name=name,
        hypervisor_type=HypervisorType.KVM,
        hypervisor_version=9_000_000,
        architecture="x86_64",
        capacity=Capacity(vcpus=8, memory_mib=16_384, disk_gib=100),
        largest_vcpus=8,
        largest_memory_mib=16_384,
        cpu_info="A fast one",
        address="192.0.2.7",
    )
    record = Host(
        id=0,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        place="here",
        report=msgspec.structs.replace(report, **values.pop("report", {})),
        state=HostState.UP,
        zone="nova",
        vcpu_ratio=1,
        memory_ratio=1,
        disk_ratio=1,
        created_at=NOW,
        seen_at=NOW,
    )
    return msgspec.structs.replace(record, **values)


def server(name: str, project_id: str, **values: Any) -> Server:
    """An active server of the flavor SMALL."""
    record = Server(
        id=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        name=name,
        project_id=project_id,
        user_id="somebody",
        hostname=name,
        flavor=SMALL,
        image=None,
        reservation_id="r-12345678",
        vm_state=VmState.ACTIVE,
        created_at=NOW,
        updated_at=NOW,
        launched_at=NOW,
    )
    return msgspec.structs.replace(record, **values)


def put(database: Database, *records: Host | Server) -> None:
    """Record hosts and servers."""
    with database.write() as store:
        store.host.join([record for record in records if isinstance(record, Host)])
        servers = [record for record in records if isinstance(record, Server)]
        if servers:
            store.server.create(servers)
