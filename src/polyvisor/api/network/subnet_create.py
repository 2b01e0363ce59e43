"""Making subnets: by their range, or of a subnet pool."""

from ipaddress import ip_network
from typing import Any, Literal

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import (
    UNSET,
    Address,
    Number,
    Project,
    Tags,
    Truth,
    UnsetType,
    chosen,
    given_new,
    invalid,
    number,
    truth,
)
from polyvisor.api.network.form import ADMIN, body_of, each_of, made, names_of, project_of, require_each, restricted
from polyvisor.api.network.subnet import OF_NETWORK, SubnetChange, check_segment, convert, view
from polyvisor.model.ip import default_pools, read_network, whole
from polyvisor.model.network import Network
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.subnet import Subnet

subnet_create = Resource("/subnets")

_CREATE = restricted("create", "subnet", {"segment_id": ADMIN, "service_types": OF_NETWORK})
_CREATE_RULES = names_of(_CREATE)
RULES = [Rule(name="create_subnet", check=OF_NETWORK, description="Make a subnet on a network of one's own."), *_CREATE]

Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]


class NewSubnet(SubnetChange, forbid_unknown_fields=True, kw_only=True):
    """What makes a subnet: what can be changed later, and what stays."""

    network_id: str
    ip_version: Number | UnsetType = UNSET
    cidr: Address | UnsetType | None = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    ipv6_ra_mode: Mode | UnsetType | None = UNSET
    ipv6_address_mode: Mode | UnsetType | None = UNSET
    subnetpool_id: str | UnsetType | None = UNSET
    use_default_subnetpool: Truth | UnsetType = UNSET
    prefixlen: Number | UnsetType | None = UNSET


@subnet_create.route(
    "POST", policy="create_subnet", checked_by_handler=True, body=body_of("subnet", "subnets", NewSubnet)
)
def create(call: Call) -> Reply:
    """New subnets, all or none."""
    wanted, several = each_of(call.body)
    return made("subnet", "subnets", [view(call, _make(call, each)) for each in wanted], several=several)


def _make(call: Call, new: NewSubnet) -> Subnet:
    network = call.store.network.get(new.network_id, viewer=call.owner)
    values = given_new(new)
    project_id = project_of(call, values)
    target = {"project_id": project_id, "network:project_id": network.project_id}
    call.require("create_subnet", target)
    require_each(call, "create_subnet", chosen(new), _CREATE_RULES, target)
    convert(values)
    check_segment(call, values.get("segment_id"), network.id)
    _settle_range(call, values, project_id)
    if "gateway_ip" not in values:
        values["gateway_ip"] = _first_address(values["cidr"])
    if "allocation_pools" not in values:
        values["allocation_pools"] = default_pools(values["cidr"], values["gateway_ip"])
    created = call.store.subnet.create(_record(call, network, project_id, values), call.now)
    call.store.metadata_port.keep(network.id, now=call.now, settings=call.part(NetworkSettings))
    return created


def _record(call: Call, network: Network, project_id: str, values: dict[str, Any]) -> Subnet:
    fields: dict[str, Any] = {**values, "network_id": network.id, "project_id": project_id}
    return Subnet(id=call.new_id(), created_at=call.now, updated_at=call.now, **fields)


def _settle_range(call: Call, values: dict[str, Any], project_id: str) -> None:
    """Replace what asks for a range by the range: `cidr`, `ip_version` and `subnetpool_id`."""
    version = values.pop("ip_version", None)
    prefixlen, from_default = values.pop("prefixlen", None), values.pop("use_default_subnetpool", False)
    if values.get("cidr") is not None:
        values["cidr"] = _canonical(values["cidr"])
    if version is not None:
        version = number(version, "ip_version", 4, 6)
    if truth(from_default, "use_default_subnetpool"):
        values["subnetpool_id"] = _default_pool(call, values.get("subnetpool_id"), version or 4)
    if values.get("subnetpool_id") is not None:
        _of_pool(call, values, version, prefixlen, project_id)
        return
    if values.get("cidr") is None:
        raise invalid("a subnetpool must be specified in the absence of a cidr.")
    if prefixlen is not None:
        raise invalid("prefixlen is for subnets of a subnet pool: give 'cidr' alone, or 'subnetpool_id'.")
    if version is None:
        raise invalid("ip_version must be specified in the absence of a subnetpool.")
    values["ip_version"] = version


def _default_pool(call: Call, pool_id: str | None, version: int) -> str:
    if pool_id is not None:
        raise invalid("subnetpool_id and use_default_subnetpool cannot both be specified.")
    default = call.store.subnet_pool.default(version)
    if default is None:
        raise invalid(f"No default subnetpool found for IPv{version}.")
    return default.id


def _of_pool(call: Call, values: dict[str, Any], version: int | None, prefixlen: Any, project_id: str) -> None:
    pool = call.store.subnet_pool.get(values["subnetpool_id"], viewer=call.owner)
    if version is not None and version != pool.ip_version:
        raise invalid("ip_version of the subnet and of the subnet pool are different.")
    size = None if prefixlen is None else number(prefixlen, "prefixlen", 0, 128)
    cidr = values.get("cidr")
    if size is not None and cidr is not None:
        raise invalid("cidr and prefixlen cannot both be specified.")
    values["cidr"] = call.store.subnet_pool.allocate(pool, project_id, cidr=cidr, prefixlen=size)
    values["ip_version"] = pool.ip_version


def _canonical(cidr: str) -> str:
    try:
        loose = read_network(cidr, strict=False)
    except ValueError:
        raise invalid(f"'{cidr[:64]}' is not a valid IP subnet.") from None
    if "/" not in cidr:
        raise invalid(f"'{cidr[:64]}' isn't a recognized IP subnet cidr, '{loose}' is recommended.")
    return str(loose)


def _first_address(cidr: str) -> str | None:
    """The gateway where none is named: the first address, unless it is the only one."""
    network = ip_network(cidr)
    if network.num_addresses == 1:
        return None
    return str(type(network.network_address)(whole(cidr)[0]))
