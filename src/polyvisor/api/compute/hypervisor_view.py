"""A hypervisor as the Compute API shows it, at each microversion."""

import uuid
from typing import Any

import msgspec

from polyvisor.api.kit import Call
from polyvisor.model.host import Host, HostReport, HostState

_GIB = 1 << 30


def summary(call: Call, host: Host) -> dict[str, Any]:
    """A line of the short list."""
    return {
        "id": host.uuid if call.version >= (2, 53) else host.id,
        "hypervisor_hostname": host.name,
        "state": host.state,
        "status": "enabled" if host.enabled else "disabled",
    }


def detail(call: Call, host: Host, workload: int) -> dict[str, Any]:
    """The whole hypervisor; `workload` counts servers that something is being done to."""
    report = host.report
    shown = {
        **summary(call, host),
        "host_ip": report.address or None,
        "hypervisor_type": report.hypervisor_type,
        "hypervisor_version": report.hypervisor_version,
        "service": {
            "host": host.name,
            "id": service_uuid(host.uuid) if call.version >= (2, 53) else host.id,
            "disabled_reason": disabled_reason(host),
        },
    }
    info = cpu_info(host)
    if call.version >= (2, 88):
        return {**shown, "uptime": None, "cpu_info": info}
    shown["cpu_info"] = info if call.version >= (2, 28) else msgspec.json.encode(info).decode()
    return {**shown, **_amounts(host), "current_workload": workload}


def _amounts(host: Host) -> dict[str, Any]:
    capacity, stores = host.report.capacity, host.report.datastores
    memory_used = host.used_memory_mib + host.reserved_memory_mib
    disk_used = host.used_disk_gib + host.reserved_disk_gib
    return {
        "vcpus": capacity.vcpus,
        "vcpus_used": host.used_vcpus,
        "memory_mb": capacity.memory_mib,
        "memory_mb_used": memory_used,
        "free_ram_mb": capacity.memory_mib - memory_used,
        "local_gb": capacity.disk_gib,
        "local_gb_used": disk_used,
        "free_disk_gb": capacity.disk_gib - disk_used,
        "disk_available_least": sum(one.free_bytes for one in stores if one.accessible) // _GIB if stores else None,
        "running_vms": host.servers,
    }


def statistics(hosts: list[Host], workload: int) -> dict[str, int]:
    """The sums over all hosts."""
    names = ("vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used",
             "free_disk_gb", "disk_available_least", "running_vms")  # fmt: skip
    amounts = [_amounts(host) for host in hosts]
    sums = {name: sum(each[name] or 0 for each in amounts) for name in names}
    return {"count": len(hosts), **sums, "current_workload": workload}


def cpu_info(host: Host) -> dict[str, Any]:
    """The processor, and what else there is to know of the host: its members, its datastores, what is wrong with it.

    It is the one field of free form that clients print, so that a plain `openstack hypervisor show` tells all of it.
    """
    report = host.report
    info: dict[str, Any] = {"arch": report.architecture, "model": report.cpu_info}
    reasons = [*([host.state_reason] if host.state is HostState.DOWN and host.state_reason else []), *report.warnings]
    if reasons:
        info["warnings"] = reasons
    if report.members:
        info["members"] = _members(report)
    if report.datastores:
        info["datastores"] = _datastores(report)
    return info


def _members(report: HostReport) -> list[dict[str, Any]]:
    return [
        {
            "name": member.name,
            "state": "up" if member.connected else "down",
            "maintenance": member.in_maintenance,
            "vcpus": member.vcpus,
            "memory_mb": member.memory_mib,
            "memory_mb_used": member.memory_used_mib,
            "version": member.version,
        }
        for member in report.members
    ]


def _datastores(report: HostReport) -> list[dict[str, Any]]:
    return [
        {
            "name": store.name,
            "type": store.kind,
            "capacity_gb": round(store.capacity_bytes / _GIB, 1),
            "free_gb": round(store.free_bytes / _GIB, 1),
            "shared": store.shared,
            "accessible": store.accessible,
        }
        for store in report.datastores
    ]


def disabled_reason(host: Host) -> str | None:
    """Why servers do not go to the host: what the administrator said, or why it is down."""
    if not host.enabled:
        return host.disabled_reason or None
    return host.state_reason or None


_SERVICE = int.from_bytes(b"comput")


def service_uuid(host_uuid: str) -> str:
    """The id of a host's nova-compute service, which is not its hypervisor's; of that id, the host's uuid."""
    return str(uuid.UUID(int=uuid.UUID(host_uuid).int ^ _SERVICE))
