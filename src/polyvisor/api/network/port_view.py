"""Ports as the API shows them."""

from typing import Any

import msgspec

from polyvisor.api.kit import Call
from polyvisor.api.network.form import standard
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.port import Port

_SEEN_BY_ADMINS = ("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details")


def view(call: Call, record: Port) -> dict[str, Any]:
    """A port as the caller sees it."""
    binding = record.binding
    shown = {
        **standard(record),
        "network_id": record.network_id,
        "mac_address": record.mac_address,
        "fixed_ips": [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in record.fixed_ips],
        "admin_state_up": record.admin_state_up,
        "status": record.status,
        "device_id": record.device_id,
        "device_owner": record.device_owner,
        "security_groups": list(record.security_group_ids),
        "port_security_enabled": record.port_security_enabled,
        "allowed_address_pairs": [
            {"ip_address": each.ip_address, "mac_address": each.mac_address} for each in record.allowed_address_pairs
        ],
        "extra_dhcp_opts": [
            {"opt_name": each.opt_name, "opt_value": each.opt_value, "ip_version": each.ip_version}
            for each in record.extra_dhcp_opts
        ],
        "ip_allocation": "immediate" if record.fixed_ips else "none",
        "binding:vnic_type": binding.vnic_type,
        "dns_name": record.dns_name,
        "dns_domain": record.dns_domain,
        "dns_assignment": _assignment(call, record),
        "qos_policy_id": record.qos_policy_id,
        "propagate_uplink_status": record.propagate_uplink_status,
    }
    if record.trunk is not None:
        shown["trunk_details"] = {
            "trunk_id": record.trunk.trunk_id,
            "sub_ports": [msgspec.structs.asdict(each) for each in record.trunk.sub_ports],
        }
    told = zip(_SEEN_BY_ADMINS, (binding.host, binding.profile, binding.vif_type, binding.vif_details), strict=True)
    return shown | {name: value for name, value in told if call.allows(f"get_port:{name}")}


def _assignment(call: Call, record: Port) -> list[dict[str, str]]:
    """The names by which DNS knows the port's addresses."""
    domain = call.part(NetworkSettings).dns_domain
    found = []
    for each in record.fixed_ips:
        host = record.dns_name or "host-" + each.ip_address.replace(".", "-").replace(":", "-")
        name = host if host.endswith(".") else f"{host}.{domain}"
        found.append({"ip_address": each.ip_address, "hostname": host.partition(".")[0], "fqdn": name})
    return found
