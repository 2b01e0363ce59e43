"""What guestinfo says of a guest's network: cloud-init's network configuration, version 2.

Sources: cloud-init's documentation of that format and of the key `network` in its VMware datasource's metadata.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

from polyvisor.model.nic import Nic, NicAddress

_ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


def network_config(nics: Sequence[Nic]) -> dict[str, Any]:
    """One interface for each card, found by its MAC address and named eth0, eth1 … in their order.

    What DHCP or router advertisements tell is left to them; addresses of subnets without are written out.
    """
    return {
        "version": 2,
        "ethernets": {f"eth{number}": _interface(f"eth{number}", nic) for number, nic in enumerate(nics)},
    }


def _interface(name: str, nic: Nic) -> dict[str, Any]:
    fixed = [address for address in nic.addresses if _is_fixed(address)]
    shown: dict[str, Any] = {
        "match": {"macaddress": nic.mac_address},
        "set-name": name,
        "mtu": nic.mtu,
        "dhcp4": any(address.dhcp and address.ip_version == 4 for address in nic.addresses),
        "dhcp6": any(address.dhcp and address.ipv6_address_mode == "dhcpv6-stateful" for address in nic.addresses),
    }
    if any(address.ip_version == 6 and not _is_fixed(address) for address in nic.addresses):
        shown["accept-ra"] = True
    if fixed:
        shown["addresses"] = [_with_length(address) for address in fixed]
        shown["routes"] = [route for address in fixed for route in _routes(address)]
        servers = list(dict.fromkeys(server for address in fixed for server in address.dns_nameservers))
        shown["nameservers"] = {"addresses": servers}
    return {key: value for key, value in shown.items() if value not in ([], {"addresses": []})}


def _is_fixed(address: NicAddress) -> bool:
    """Whether nothing on the network tells the guest this address."""
    return not address.dhcp or (address.ip_version == 6 and not address.ipv6_address_mode)


def _with_length(address: NicAddress) -> str:
    return f"{address.address}/{ipaddress.ip_network(address.cidr, strict=False).prefixlen}"


def _routes(address: NicAddress) -> list[dict[str, str]]:
    default = [] if address.gateway is None else [{"to": _ANYWHERE[address.ip_version], "via": address.gateway}]
    return default + [{"to": route.destination, "via": route.nexthop} for route in address.routes]
