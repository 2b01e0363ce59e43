"""What requests say of ports, and what becomes of it."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import Call
from polyvisor.api.network.fields import UNSET, Address, Name, Number, Text, Truth, UnsetType, invalid, mac, truths
from polyvisor.api.network.network import is_label
from polyvisor.model.errors import Forbidden, Invalid, NotFound
from polyvisor.model.ip import read_network
from polyvisor.model.port import AddressPair, Binding, ExtraDhcpOption, WantedIp
from polyvisor.model.subnet_check import canonical_address
from polyvisor.model.vif import BINDING_FAILED, UNBOUND, VIF_TYPES

BINDING = {
    "binding_host": "binding:host_id",
    "binding_profile": "binding:profile",
    "binding_vnic_type": "binding:vnic_type",
}
_MOST_PAIRS = 10
_KINDS_OF_CARDS = ("normal", "direct", "direct-physical", "macvtap", "baremetal", "virtio-forwarder", "vdpa",
                   "remote-managed", "accelerator-direct", "accelerator-direct-physical", "smart-nic")  # fmt: skip
Options = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class FixedIp(msgspec.Struct, forbid_unknown_fields=True):
    """An address that is asked for."""

    subnet_id: str | None = None
    ip_address: Address | None = None


class Pair(msgspec.Struct, forbid_unknown_fields=True):
    """An allowed address pair."""

    ip_address: Address
    mac_address: Address | None = None


class Option(msgspec.Struct, forbid_unknown_fields=True):
    """An extra DHCP option; without a value it is removed."""

    opt_name: Options
    opt_value: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    ip_version: Number = 4


class PortChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename=BINDING):
    """What of a port can be changed."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Truth | UnsetType = UNSET
    mac_address: Address | UnsetType | None = UNSET
    fixed_ips: list[FixedIp] | UnsetType | None = UNSET
    device_id: Name | UnsetType = UNSET
    device_owner: Name | UnsetType = UNSET
    security_groups: list[str] | UnsetType | None = UNSET
    port_security_enabled: Truth | UnsetType = UNSET
    allowed_address_pairs: list[Pair] | UnsetType | None = UNSET
    extra_dhcp_opts: list[Option] | UnsetType | None = UNSET
    binding_host: Name | UnsetType | None = UNSET
    binding_profile: dict[str, Any] | UnsetType | None = UNSET
    binding_vnic_type: str | UnsetType = UNSET
    dns_name: Name | UnsetType = UNSET
    dns_domain: Name | UnsetType = UNSET
    qos_policy_id: str | UnsetType | None = UNSET
    propagate_uplink_status: Truth | UnsetType = UNSET


def convert(call: Call, values: dict[str, Any], before: Binding) -> None:
    """Make of the body's values what the record holds; `before` is its binding. Raises Invalid, NotFound, Conflict."""
    truths(values, "admin_state_up", "port_security_enabled", "propagate_uplink_status")
    if "mac_address" in values:
        values["mac_address"] = None if values["mac_address"] is None else mac(values["mac_address"])
    if "fixed_ips" in values:
        values["fixed_ips"] = tuple(wanted_ip(each) for each in values["fixed_ips"] or ())
    if "security_groups" in values:
        wanted = values.pop("security_groups") or ()
        if len(set(wanted)) < len(wanted):
            raise invalid("Duplicate items in 'security_groups': give each group once.")
        values["security_group_ids"] = call.store.security_group.of_port(wanted, call.owner)
    if "allowed_address_pairs" in values:
        values["allowed_address_pairs"] = _pairs(values["allowed_address_pairs"] or [])
    if "extra_dhcp_opts" in values:
        values["extra_dhcp_opts"] = _options(values["extra_dhcp_opts"] or [])
    if values.get("qos_policy_id") is not None:
        call.store.qos_policy.get(values["qos_policy_id"], viewer=call.owner)
    for name in ("dns_name", "dns_domain"):
        if values.get(name):
            values[name] = _dns(values[name], name)
    _bind(call, values, before)


def wanted_ip(each: FixedIp) -> WantedIp:
    """An address as it is asked for. Raises Invalid."""
    if each.subnet_id is None and each.ip_address is None:
        raise invalid("each item of 'fixed_ips' needs 'subnet_id' or 'ip_address'.")
    address = None if each.ip_address is None else canonical_address(each.ip_address)
    return WantedIp(subnet_id=each.subnet_id, ip_address=address)


def _pairs(given_pairs: list[Pair]) -> tuple[AddressPair, ...]:
    if len(given_pairs) > _MOST_PAIRS:
        raise Invalid(
            f"The number of allowed address pair exceeds the maximum {_MOST_PAIRS}.", kind="AddressPairsExhausted"
        )
    pairs = []
    for each in given_pairs:
        try:
            network = read_network(each.ip_address, strict=False)
        except ValueError:
            raise invalid(f"'{each.ip_address}' is neither a valid IP address, nor is it a valid IP subnet.") from None
        text = str(network) if "/" in each.ip_address else str(network.network_address)
        pairs.append(AddressPair(ip_address=text, mac_address=mac(each.mac_address) if each.mac_address else ""))
    if len({(each.ip_address, each.mac_address) for each in pairs}) < len(pairs):
        raise Invalid("Request contains duplicate address pair: give each once.", kind="DuplicateAddressPairInRequest")
    return tuple(pairs)


def _options(given_options: list[Option]) -> tuple[ExtraDhcpOption, ...]:
    found: dict[tuple[str, int], ExtraDhcpOption] = {}
    for each in given_options:
        version = int(each.ip_version)
        if version not in (4, 6):
            raise invalid(f"ip_version '{version}' of a DHCP option is neither 4 nor 6.")
        if (each.opt_name, version) in found:
            raise invalid(f"duplicate DHCP option '{each.opt_name}': give each once.")
        found[each.opt_name, version] = ExtraDhcpOption(
            opt_name=each.opt_name, opt_value=each.opt_value, ip_version=version
        )
    return tuple(each for each in found.values() if each.opt_value is not None)


def _dns(text: str, name: str) -> str:
    if len(text) > 255 or not all(is_label(label) for label in text.rstrip(".").split(".")):
        raise invalid(f"'{text[:64]}' is not a valid name for '{name}': letters, digits and hyphens between dots.")
    return text.lower()


def _bind(call: Call, values: dict[str, Any], before: Binding) -> None:
    """Replace the binding's parts by `binding`, where there are any."""
    parts = {name: values.pop(name) for name in BINDING if name in values}
    if not parts:
        return
    kind = parts.get("binding_vnic_type", before.vnic_type)
    check_vnic_type(kind)
    binding = msgspec.structs.replace(before, vnic_type=kind)
    if "binding_profile" in parts:
        binding = msgspec.structs.replace(binding, profile=parts["binding_profile"] or {})
    if "binding_host" in parts:
        host = parts["binding_host"] or ""
        binding = msgspec.structs.replace(binding, host=host, vif_type=vif_type_at(call, host), vif_details={})
    values["binding"] = binding


def check_vnic_type(kind: str) -> None:
    """Raise Invalid for a kind of card that there is none of."""
    if kind not in _KINDS_OF_CARDS:
        raise invalid(f"'{kind[:64]}' is no vnic_type: {', '.join(_KINDS_OF_CARDS)} are.")


def vif_type_at(call: Call, host: str) -> str:
    """How ports are plugged at a host: "binding_failed" where there is no such one."""
    if not host:
        return UNBOUND
    try:
        return VIF_TYPES[call.store.host.get(host).report.hypervisor_type]
    except NotFound:
        return BINDING_FAILED


def check_device_owner(call: Call, rule: str, values: dict[str, Any], target: dict[str, Any]) -> None:
    """Owners of the network's own ask for leave of their own. Raises Forbidden."""
    if str(values.get("device_owner", "")).startswith("network:"):
        call.require(f"{rule}:device_owner", target)


def refuse_external(external: bool, shared: bool, target: dict[str, Any], call: Call) -> None:
    """An external network gives its addresses to gateways and floating IPs alone, unless it is shared as well."""
    if external and not shared and not call.is_admin and target["network:project_id"] != call.project_id:
        raise Forbidden(
            "Ports cannot be made on an external network that is not shared: make a floating IP instead.",
            kind="ExternalNetworkAttachForbidden",
        )
