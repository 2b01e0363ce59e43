"""What a guest is told of its network cards: `network_data.json`, and the tagged devices of `meta_data.json`.

Sources: OpenStack's schema of network_data.json (Nova's api-ref, "metadata service") and what cloud-init's OpenStack
and ConfigDrive sources make of it. Pure, and the same for every hypervisor: the config drive and the metadata service
say one thing.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

from polyvisor.model.nic import Nic, NicAddress
from polyvisor.model.subnet import HostRoute

_ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


def network_data(nics: Sequence[Nic]) -> dict[str, Any]:
    """The document: one link for each card, one network for each of its addresses, and the resolvers of them all.

    Links are "phy", plain cards, whatever carries them outside of the guest. What DHCP or router advertisements tell
    is left to them: such a network has its kind alone ("ipv4_dhcp", "ipv6_slaac", "ipv6_dhcpv6-stateful",
    "ipv6_dhcpv6-stateless"); else ("ipv4", "ipv6") it has its address, netmask, routes and resolvers.
    """
    addresses = [(nic, address) for nic in nics for address in nic.addresses]
    resolvers = dict.fromkeys(server for _, address in addresses for server in address.dns_nameservers)
    return {
        "links": [_link(nic) for nic in nics],
        "networks": [_network(number, nic, address) for number, (nic, address) in enumerate(addresses)],
        "services": [_resolver(server) for server in resolvers],
    }


def tagged_devices(nics: Sequence[Nic]) -> list[dict[str, Any]]:
    """The cards that were given a tag, as `devices` of meta_data.json; a guest finds them by their MAC address."""
    return [
        {"type": "nic", "bus": "none", "address": "none", "mac": nic.mac_address, "tags": [nic.tag]}
        for nic in nics
        if nic.tag
    ]


def _link(nic: Nic) -> dict[str, Any]:
    return {
        "id": _link_id(nic),
        "vif_id": nic.port_id,
        "type": "phy",
        "mtu": nic.mtu,
        "ethernet_mac_address": nic.mac_address,
    }


def _link_id(nic: Nic) -> str:
    return f"tap{nic.port_id[:11]}"


def _network(number: int, nic: Nic, address: NicAddress) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": f"network{number}",
        "type": _kind(address),
        "link": _link_id(nic),
        "network_id": nic.network_id,
    }
    if shown["type"] not in ("ipv4", "ipv6"):
        return shown
    subnet = ipaddress.ip_network(address.cidr)
    default = [] if address.gateway is None else [_route(_ANYWHERE[address.ip_version], address.gateway)]
    return shown | {
        "ip_address": address.address,
        "netmask": str(subnet.netmask),
        "routes": default + [_as_told(route) for route in address.routes],
        "services": [_resolver(server) for server in address.dns_nameservers],
    }


def _kind(address: NicAddress) -> str:
    if not address.dhcp:
        return f"ipv{address.ip_version}"
    if address.ip_version == 4:
        return "ipv4_dhcp"
    return f"ipv6_{address.ipv6_address_mode}" if address.ipv6_address_mode else "ipv6"


def _as_told(route: HostRoute) -> dict[str, str]:
    return _route(route.destination, route.nexthop)


def _route(destination: str, gateway: str) -> dict[str, str]:
    network = ipaddress.ip_network(destination, strict=False)
    return {"network": str(network.network_address), "netmask": str(network.netmask), "gateway": gateway}


def _resolver(address: str) -> dict[str, str]:
    return {"type": "dns", "address": address}
