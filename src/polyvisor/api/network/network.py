"""Networks."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import (
    UNSET,
    Name,
    Number,
    Project,
    Tags,
    Text,
    Truth,
    UnsetType,
    chosen,
    given,
    given_new,
    invalid,
    named,
    number,
    truths,
)
from polyvisor.api.network.form import (
    ADMIN,
    MEMBER,
    READER,
    body_of,
    check_revision,
    each_of,
    filters_of,
    for_change,
    listing,
    made,
    names_of,
    project_of,
    require_each,
    restricted,
    selected,
    standard,
)
from polyvisor.model.errors import NotFound
from polyvisor.model.network import Network, NetworkType, SegmentRef
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.segment import largest_mtu
from polyvisor.store.network import check_mtu

networks = Resource("/networks")

_ADMINS_ONLY = (
    "shared", "router:external", "is_default",
    "provider:network_type", "provider:physical_network", "provider:segmentation_id", "segments",
)  # fmt: skip
_SEEN_BY_ADMINS = ("provider:network_type", "provider:physical_network", "provider:segmentation_id", "segments")
_CREATE = restricted("create", "network", dict.fromkeys(_ADMINS_ONLY, ADMIN))
_UPDATE = restricted("update", "network", dict.fromkeys(("shared", "router:external", "is_default"), ADMIN))
_CREATE_RULES, _UPDATE_RULES = names_of(_CREATE), names_of(_UPDATE)
RULES = [
    Rule(name="create_network", check=MEMBER, description="Make a network."),
    Rule(name="get_network", check=READER, description="List and show the networks that the project sees."),
    Rule(name="update_network", check=MEMBER, description="Change a network."),
    Rule(name="delete_network", check=MEMBER, description="Delete a network."),
    *_CREATE,
    *_UPDATE,
    *restricted("get", "network", dict.fromkeys(_SEEN_BY_ADMINS, ADMIN)),
]

Zones = list[Annotated[str, msgspec.Meta(max_length=255)]]
_PROVIDER = {
    "network_type": "provider:network_type",
    "physical_network": "provider:physical_network",
    "segmentation_id": "provider:segmentation_id",
    "external": "router:external",
}


class NewSegment(msgspec.Struct, forbid_unknown_fields=True, rename=_PROVIDER):
    """One of several segments."""

    network_type: str | None = None
    physical_network: str | None = None
    segmentation_id: Number | None = None


class NewNetwork(msgspec.Struct, forbid_unknown_fields=True, rename=_PROVIDER):
    """What makes a network."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Truth | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    shared: Truth | UnsetType = UNSET
    external: Truth | UnsetType = UNSET
    is_default: Truth | UnsetType = UNSET
    mtu: Number | UnsetType = UNSET
    port_security_enabled: Truth | UnsetType = UNSET
    dns_domain: Name | UnsetType = UNSET
    qos_policy_id: str | UnsetType | None = UNSET
    availability_zone_hints: Zones | UnsetType = UNSET
    network_type: str | UnsetType | None = UNSET
    physical_network: str | UnsetType | None = UNSET
    segmentation_id: Number | UnsetType | None = UNSET
    segments: list[NewSegment] | UnsetType = UNSET


class NetworkChange(msgspec.Struct, forbid_unknown_fields=True, rename=_PROVIDER):
    """What of a network can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Truth | UnsetType = UNSET
    shared: Truth | UnsetType = UNSET
    external: Truth | UnsetType = UNSET
    is_default: Truth | UnsetType = UNSET
    mtu: Number | UnsetType = UNSET
    port_security_enabled: Truth | UnsetType = UNSET
    dns_domain: Name | UnsetType = UNSET
    qos_policy_id: str | UnsetType | None = UNSET


_TRUTHS = ("admin_state_up", "shared", "external", "is_default", "port_security_enabled")
_FILTERS = filters_of(
    "admin_state_up", "shared", "is_default", "mtu", "status", "port_security_enabled", "dns_domain", "qos_policy_id",
    "provider:network_type", "provider:physical_network", "provider:segmentation_id", "router:external",
)  # fmt: skip
_SORTS = ("id", "name", "project_id", "admin_state_up", "mtu", "created_at", "updated_at")


@networks.route(
    "POST", policy="create_network", checked_by_handler=True, body=body_of("network", "networks", NewNetwork)
)
def create(call: Call) -> Reply:
    """New networks, all or none."""
    wanted, several = each_of(call.body)
    return made("network", "networks", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewNetwork) -> Network:
    values = given_new(new)
    target: dict[str, Any] = {"project_id": project_of(call, values)}
    call.require("create_network", target)
    require_each(call, "create_network", chosen(new), _CREATE_RULES, target)
    truths(values, *_TRUTHS)
    segments = _segments(values)
    if "mtu" in values:
        # 0 is Neutron's word for "as large as it can be".
        values["mtu"] = number(values["mtu"], "mtu", 0, 65_535)
    _check(call, values)
    if "qos_policy_id" not in values:
        values["qos_policy_id"] = call.store.qos_policy.default_of(target["project_id"])
    zones = tuple(values.pop("availability_zone_hints", ()))
    check_zones(call, zones)
    record = Network(
        id=call.new_id(), created_at=call.now, updated_at=call.now, **target,
        **{"mtu": 0, **values, "availability_zone_hints": zones},
    )  # fmt: skip
    return call.store.network.create(record, segments=segments, settings=call.part(NetworkSettings))


def _segments(values: dict[str, Any]) -> tuple[SegmentRef, ...]:
    """The segments that are asked for by provider attributes, or by `segments`; both are taken out of `values`."""
    several: list[NewSegment] = values.pop("segments", [])
    own = {name: values.pop(name) for name in ("network_type", "physical_network", "segmentation_id") if name in values}
    if several and any(value is not None for value in own.values()):
        raise invalid("provider attributes and 'segments' cannot both be given: name all segments in 'segments'.")
    wanted = several or ([NewSegment(**own)] if any(value is not None for value in own.values()) else [])
    return tuple(segment_ref(each.network_type, each.physical_network, each.segmentation_id) for each in wanted)


def segment_ref(kind: str | None, physical_network: str | None, segmentation_id: Any) -> SegmentRef:
    """A segment as it is asked for. Raises Invalid."""
    if kind is None:
        raise invalid("network_type required: 'provider:network_type' is to be flat, vlan or geneve.")
    try:
        network_type = NetworkType(kind)
    except ValueError:
        raise invalid(f"network_type value '{kind[:64]}' not supported: flat, vlan and geneve are.") from None
    known = None if segmentation_id is None else int(segmentation_id)
    return SegmentRef(network_type=network_type, physical_network=physical_network, segmentation_id=known)


def _check(call: Call, values: dict[str, Any]) -> None:
    if values.get("qos_policy_id") is not None:
        call.store.qos_policy.get(values["qos_policy_id"], viewer=call.owner)
    if values.get("dns_domain"):
        values["dns_domain"] = domain(values["dns_domain"])


def domain(text: str) -> str:
    """A domain's name, which ends in a dot. Raises Invalid."""
    labels = text.rstrip(".").split(".")
    if not text.endswith(".") or not all(is_label(label) for label in labels):
        raise invalid(f"'{text[:64]}' is not a valid FQDN for 'dns_domain': it ends in a dot, such as example.org.")
    return text.lower()


def is_label(label: str) -> bool:
    """Whether this may be a part of a domain's name."""
    plain = label.replace("-", "").replace("_", "")
    return 0 < len(label) <= 63 and plain.isalnum() and plain.isascii() and label[0] != "-" and label[-1] != "-"


def check_zones(call: Call, zones: tuple[str, ...]) -> None:
    """Raise NotFound for an availability zone that there is none of."""
    if zones:
        known = call.store.aggregate.zones()
        for zone in zones:
            if zone not in known:
                raise NotFound(f"AvailabilityZone {zone} could not be found.", kind="AvailabilityZoneNotFound")


@networks.route("GET", policy="get_network")
def index(call: Call) -> Reply:
    """The networks that the project sees. One statement."""
    return listing(call, "networks", call.store.network.list, view, _FILTERS, _SORTS)


@networks.route("GET", "/{id}", policy="get_network")
def show(call: Call) -> Reply:
    """One network."""
    record = call.store.network.get(call.path["id"], viewer=call.owner)
    return Reply(200, {"network": selected(call, view(call, record))})


@networks.route("PUT", "/{id}", policy="update_network", checked_by_handler=True, body=NetworkChange, key="network")
def update(call: Call) -> Reply:
    """Change fields."""
    record = call.store.network.get(call.path["id"], viewer=call.owner)
    target = {"project_id": record.project_id}
    call.require("update_network", target)
    require_each(call, "update_network", named(call.body), _UPDATE_RULES, target)
    check_revision(call, record)
    values = given(call.body)
    truths(values, *_TRUTHS)
    _check(call, values)
    if "qos_policy_id" in values:
        call.store.qos_policy.refuse_removal(record.qos_policy_id, values["qos_policy_id"], call.owner)
    if "mtu" in values:
        values["mtu"] = number(values["mtu"], "mtu", 1, 65_535)
        check_mtu(values["mtu"], largest_mtu(record.segments, call.part(NetworkSettings)))
    changed = call.store.network.change(record, values, call.now)
    return Reply(200, {"network": view(call, changed)})


@networks.route("DELETE", "/{id}", policy="delete_network", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a network that no ports are on, with its subnets."""
    record = for_change(call, call.store.network, "delete_network")
    call.store.network.delete(record, call.now)
    return Reply(204)


def view(call: Call, record: Network) -> dict[str, Any]:
    """A network as the caller sees it."""
    shown = {
        **standard(record),
        "admin_state_up": record.admin_state_up,
        "status": "ACTIVE",
        "mtu": record.mtu,
        "shared": record.shared,
        "router:external": record.external,
        "is_default": record.is_default,
        "port_security_enabled": record.port_security_enabled,
        "dns_domain": record.dns_domain,
        "qos_policy_id": record.qos_policy_id,
        "availability_zone_hints": list(record.availability_zone_hints),
        "availability_zones": list(record.availability_zone_hints),
        "subnets": list(record.subnet_ids),
    }
    if len(record.segments) > 1:
        if call.allows("get_network:segments"):
            shown["segments"] = [_provider(each) for each in record.segments]
    elif record.segments:
        told = _provider(record.segments[0])
        shown |= {name: value for name, value in told.items() if call.allows(f"get_network:{name}")}
    return shown


def _provider(segment: SegmentRef) -> dict[str, Any]:
    return {
        "provider:network_type": segment.network_type.value,
        "provider:physical_network": segment.physical_network,
        "provider:segmentation_id": segment.segmentation_id,
    }
