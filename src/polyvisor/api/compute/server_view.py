"""A server as the Compute API shows it, at each microversion."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from polyvisor.api.compute.server_address import by_network, group_names
from polyvisor.api.kit import Call
from polyvisor.api.kit.times import plain_micros, zulu
from polyvisor.model.server import Fault, Server
from polyvisor.model.server_port import ShownPort

_ATTRIBUTES = "os_compute_api:os-extended-server-attributes"
_HOST_STATUS = "os_compute_api:servers:show:host_status"
_PROGRESSING = ("ACTIVE", "BUILD", "DELETED", "MIGRATING", "RESIZE", "VERIFY_RESIZE")
_FAULTY = ("ERROR", "DELETED")


def summary(call: Call, server: Server) -> dict[str, Any]:
    """A line of the short list."""
    return {"id": server.id, "name": server.name, "links": links(call, "servers", server.id)}


def detail(
    call: Call, server: Server, host_status: str | None = None, ports: Sequence[ShownPort] = ()
) -> dict[str, Any]:
    """The whole server. `host_status`: UP, DOWN, MAINTENANCE or UNKNOWN, for those whom policy shows it (2.16)."""
    shown: dict[str, Any] = {
        "id": server.id,
        "name": server.name,
        "status": server.status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": server.metadata,
        "hostId": host_id(server.project_id, server.host),
        "image": _image(call, server),
        "flavor": _flavor(call, server),
        "created": zulu(server.created_at),
        "updated": zulu(server.updated_at),
        "addresses": by_network(ports),
        "accessIPv4": server.access_ipv4,
        "accessIPv6": server.access_ipv6,
        "links": links(call, "servers", server.id),
        "OS-DCF:diskConfig": server.disk_config,
        "OS-EXT-AZ:availability_zone": server.zone or server.zone_requested or "",
        "config_drive": "True" if server.config_drive else "",
        "key_name": server.key_name,
        "OS-SRV-USG:launched_at": _exact(server.launched_at),
        "OS-SRV-USG:terminated_at": _exact(server.deleted_at),
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.vm_state,
        "OS-EXT-STS:power_state": server.power.number,
        "os-extended-volumes:volumes_attached": [],
    }
    if shown["status"] in _PROGRESSING:
        shown["progress"] = server.progress
    if shown["status"] in _FAULTY and server.fault is not None:
        shown["fault"] = _fault(call, server.fault)
    if groups := group_names(ports):
        shown["security_groups"] = groups
    shown.update(_since(call, server))
    if call.allows(_ATTRIBUTES):
        shown.update(_attributes(server, call.version))
    if host_status is not None:
        shown["host_status"] = host_status
    return shown


def _since(call: Call, server: Server) -> dict[str, Any]:
    """What later microversions added."""
    added: dict[tuple[int, int], dict[str, Any]] = {
        (2, 9): {"locked": server.locked},
        (2, 19): {"description": server.description},
        (2, 26): {"tags": list(server.tags)},
        (2, 63): {"trusted_image_certificates": None},
        (2, 73): {"locked_reason": server.locked_reason},
        (2, 90): {"OS-EXT-SRV-ATTR:hostname": server.hostname},
        (2, 96): {"pinned_availability_zone": server.zone_requested} if call.is_admin else {},
    }
    return {name: value for since, each in added.items() if call.version >= since for name, value in each.items()}


_NOT_OF_CHANGES = (
    "security_groups",
    "OS-EXT-",
    "OS-SRV-USG:",
    "os-extended-volumes:",
    "config_drive",
    "key_name",
    "host_status",
)


def alone(call: Call, server: Server, host_status: str | None = None) -> dict[str, Any]:
    """The whole server, and what lists leave out. Three statements where it has ports."""
    shown = detail(call, server, host_status, call.store.server_port.shown([server])[server.id])
    return {**shown, "server_groups": []} if call.version >= (2, 71) else shown


def changed(call: Call, server: Server, host_status: str | None = None) -> dict[str, Any]:
    """The server in the answer to its change: from 2.75 on the whole of it, before that without its extensions."""
    shown = alone(call, server, host_status)
    if call.version >= (2, 75):
        return shown
    return {name: value for name, value in shown.items() if not name.startswith(_NOT_OF_CHANGES)}


def _attributes(server: Server, version: tuple[int, int]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "OS-EXT-SRV-ATTR:host": server.host,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host,
        "OS-EXT-SRV-ATTR:instance_name": f"pv-{server.id}",
    }
    if version >= (2, 3):
        shown |= {
            "OS-EXT-SRV-ATTR:reservation_id": server.reservation_id,
            "OS-EXT-SRV-ATTR:launch_index": server.launch_index,
            "OS-EXT-SRV-ATTR:hostname": server.hostname,
            "OS-EXT-SRV-ATTR:kernel_id": _property(server, "kernel_id"),
            "OS-EXT-SRV-ATTR:ramdisk_id": _property(server, "ramdisk_id"),
            "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
            "OS-EXT-SRV-ATTR:user_data": server.user_data or None,
        }
    return shown


def _property(server: Server, name: str) -> str:
    return "" if server.image is None else server.image.properties.get(name, "")


def _image(call: Call, server: Server) -> Any:
    if server.image is None:
        return ""
    address = call.unversioned_url(f"/images/{server.image.id}")
    shown: dict[str, Any] = {"id": server.image.id, "links": [{"rel": "bookmark", "href": address}]}
    if call.version >= (2, 98):
        shown["properties"] = server.image.properties
    return shown


def _flavor(call: Call, server: Server) -> dict[str, Any]:
    flavor = server.flavor
    if call.version < (2, 47):
        address = call.unversioned_url(f"/flavors/{flavor.id}")
        return {"id": flavor.id, "links": [{"rel": "bookmark", "href": address}]}
    return {
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mib,
        "disk": flavor.root_gib,
        "ephemeral": flavor.ephemeral_gib,
        "swap": flavor.swap_mib,
        "original_name": flavor.name,
        "extra_specs": flavor.extra_specs,
    }


def _fault(call: Call, fault: Fault) -> dict[str, Any]:
    shown: dict[str, Any] = {"code": fault.code, "message": fault.message, "created": zulu(fault.created_at)}
    if fault.details and (call.is_admin or fault.code != 500):
        shown["details"] = fault.details
    return shown


def host_status_of(state: str, enabled: bool) -> str:
    """The `host_status` of a server on a host in this state."""
    if not enabled:
        return "MAINTENANCE"
    return "UP" if state == "up" else "DOWN"


def links(call: Call, collection: str, id: str) -> list[dict[str, str]]:
    """The two links that every compute resource carries."""
    return [
        {"rel": "self", "href": call.url(f"/{collection}/{id}")},
        {"rel": "bookmark", "href": call.unversioned_url(f"/{collection}/{id}")},
    ]


@lru_cache(maxsize=4096)
def host_id(project_id: str, host: str | None) -> str:
    """A name for the host that tells a project which of its servers share one, and nothing else."""
    return "" if host is None else hashlib.sha224((project_id + host).encode()).hexdigest()


def _exact(value: datetime | None) -> str | None:
    return None if value is None else plain_micros(value)


def shown_to_host_status_readers(call: Call) -> bool:
    """Whether policy shows the caller the state of hosts."""
    return call.version >= (2, 16) and call.allows(_HOST_STATUS)
