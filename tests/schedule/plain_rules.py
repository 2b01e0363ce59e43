"""Whether a host takes a server, by the documented rules written down plainly: no arrays, no caches, no order."""

from typing import Any

from polyvisor.model.host import HostState
from polyvisor.model.network import SegmentRef
from polyvisor.model.place import AggregateView, HostView, PlaceRequest
from tests.schedule.cloud import GIB, room

_OPERATORS: dict[str, Any] = {
    "=": lambda own, asked: float(own) >= float(asked[0]),
    ">=": lambda own, asked: float(own) >= float(asked[0]),
    "<=": lambda own, asked: float(own) <= float(asked[0]),
    "==": lambda own, asked: float(own) == float(asked[0]),
    "s==": lambda own, asked: own == asked[0],
    "s!=": lambda own, asked: own != asked[0],
    "<in>": lambda own, asked: asked[0] in own,
    "<or>": lambda own, asked: own in [word for word in asked if word != "<or>"],
}


def fits(view: HostView, aggregates: list[AggregateView], request: PlaceRequest) -> bool:
    """Whether the host takes the server."""
    host = view.host
    own = [one for one in aggregates if host.name in one.hosts]
    return (
        host.state is HostState.UP
        and host.enabled
        and host.name not in request.avoid
        and host.name not in request.passed_over
        and request.host in (None, host.name)
        and request.zone in (None, host.zone)
        and _networks(view, request)
        and _image(view, request)
        and _aggregates(own, request)
        and _specs(view, own, request, room(view, aggregates))
        and _capacity(view, request, room(view, aggregates))
    )


def _networks(view: HostView, request: PlaceRequest) -> bool:
    report = view.host.report

    def carried(segment: SegmentRef) -> bool:
        if segment.network_type == "geneve":
            return report.overlay
        return segment.physical_network in report.physical_networks or "*" in report.physical_networks

    return all(any(carried(segment) for segment in network.segments) for network in request.networks)


def _image(view: HostView, request: PlaceRequest) -> bool:
    image, report = request.image, view.host.report
    if image is None:
        return True
    kind = image.properties.get("img_hv_type", image.properties.get("hypervisor_type", report.hypervisor_type)).lower()
    wanted = {"amd64": "x86_64", "i386": "i686"}.get(arch := image.properties.get("hw_architecture", ""), arch)
    runs = {"x86_64": ("", "x86_64", "i686"), "aarch64": ("", "aarch64")}[report.architecture]
    return (
        kind == report.hypervisor_type
        and wanted in runs
        and not (image.disk_format == "aki" and report.hypervisor_type == "vmware")
    )


def _aggregates(own: list[AggregateView], request: PlaceRequest) -> bool:
    tenants = [one.metadata[key] for one in own for key in one.metadata if key.startswith("filter_tenant_id")]
    open_to = {name.strip() for names in tenants for name in names.split(",")}
    kept_for = {
        key for one in own for key, value in one.metadata.items() if key[:6] == "trait:" and value == "required"
    }
    return (not tenants or request.project_id in open_to) and kept_for <= _required(request)


def _specs(view: HostView, own: list[AggregateView], request: PlaceRequest, limits: tuple[int, int, int]) -> bool:
    host = view.host
    known = {
        "hypervisor_type": host.report.hypervisor_type.value,
        "free_ram_mb": str(limits[1] - host.used_memory_mib),
        "num_instances": str(host.servers),
    }
    for key, asked in request.extra_specs.items():
        scope, _, name = key.partition(":")
        if scope == "aggregate_instance_extra_specs":
            values = [word.strip() for one in own if name in one.metadata for word in one.metadata[name].split(",")]
            if not any(_meets(value, asked) for value in values):
                return False
        if scope == "capabilities" and not (name in known and _meets(known[name], asked)):
            return False
    forbidden = {key[6:] for key, asked in request.extra_specs.items() if key[:6] == "trait:" and asked == "forbidden"}
    required = {key[6:] for key in _required(request)}
    return required <= host.report.traits and not forbidden & host.report.traits


def _capacity(view: HostView, request: PlaceRequest, limits: tuple[int, int, int]) -> bool:
    host, image = view.host, request.image
    wanted = (request.vcpus, request.memory_mib, request.disk_gib)
    used = (host.used_vcpus, host.used_memory_mib, host.used_disk_gib)
    disk_bytes = max(request.disk_gib * GIB, image.virtual_size_bytes if image else 0)
    usable = [store.free_bytes for store in view.datastores if store.accessible]
    diskless = not view.datastores and not host.report.datastores
    return (
        all(need == 0 or had + need <= limit for need, had, limit in zip(wanted, used, limits, strict=True))
        and request.vcpus <= host.report.largest_vcpus
        and request.memory_mib <= host.report.largest_memory_mib
        and (disk_bytes == 0 or diskless or any(free >= disk_bytes for free in usable))
    )


def _required(request: PlaceRequest) -> set[str]:
    asked = {**request.extra_specs, **(request.image.properties if request.image else {})}
    return {key for key, value in asked.items() if key.startswith("trait:") and value == "required"}


def _meets(own: str, asked: str) -> bool:
    operator, *operands = asked.split()
    if operator not in _OPERATORS:
        return own == asked
    try:
        return bool(_OPERATORS[operator](own, operands))
    except ValueError:
        return False
