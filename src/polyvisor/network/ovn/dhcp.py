"""DHCP: what OVN itself answers to guests of a subnet, and to a port with options of its own."""

import hashlib
from collections.abc import Iterator

from polyvisor.model.network import Network
from polyvisor.model.port import ExtraDhcpOption, Port
from polyvisor.model.subnet import Subnet
from polyvisor.network.backend import Subject
from polyvisor.network.ovn.row import Ref, Row, text_list
from polyvisor.network.ovn.view import View

LEASE_SECONDS = 43200
METADATA_ROUTE = "169.254.169.254/32"
NO_DHCP = "dhcp_disabled"
"""The option of a port by which it is answered nothing."""

# DHCP's names of options, as Neutron takes them, in OVN's words. Options that OVN cannot send are not sent.
_V4_OPTIONS = {
    "bootfile-name": "bootfile_name",
    "broadcast-address": "broadcast_address",
    "default-ttl": "default_ttl",
    "dns-server": "dns_server",
    "dns-servers": "dns_server",
    "domain-name": "domain_name",
    "domain-search": "domain_search_list",
    "hostname": "hostname",
    "lease-time": "lease_time",
    "log-server": "log_server",
    "lpr-server": "lpr_server",
    "mtu": "mtu",
    "netmask": "netmask",
    "nis-server": "nis_server",
    "ntp-server": "ntp_server",
    "path-prefix": "path_prefix",
    "router": "router",
    "server-ip-address": "tftp_server_address",
    "tftp-server": "tftp_server",
    "tftp-server-address": "tftp_server_address",
    "wpad": "wpad",
}
_V6_OPTIONS = {"dns-server": "dns_server", "domain-search": "domain_search"}
_QUOTED = frozenset(
    ("bootfile_name", "domain_name", "domain_search_list", "hostname", "path_prefix", "tftp_server", "wpad")
)


def subnet_rows(view: View, network: Network, subnet: Subnet, subject: Subject) -> Iterator[Row]:
    """The options of a subnet whose guests are answered."""
    if is_served(subnet):
        columns = {"cidr": subnet.cidr, "options": _options(view, network, subnet)}
        yield Row(table="DHCP_Options", key=subnet.id, subject=subject, columns=columns)


def is_served(subnet: Subnet) -> bool:
    """Whether guests are given anything by DHCP; a SLAAC subnet's hear all from its router."""
    return subnet.enable_dhcp and (subnet.ip_version == 4 or subnet.ipv6_address_mode != "slaac")


def port_options(view: View, port: Port, subject: Subject, ip_version: int) -> tuple[Ref | None, list[Row]]:
    """Which options a port is answered with, and the row where they are its own."""
    extra = [each for each in port.extra_dhcp_opts if each.ip_version == ip_version]
    if any(each.opt_name == NO_DHCP and str(each.opt_value).lower() == "true" for each in extra):
        return None, []
    network = view.records.networks[port.network_id]
    for ip in port.fixed_ips:
        subnet = view.records.subnets.get(ip.subnet_id)
        if subnet is None or subnet.ip_version != ip_version or not is_served(subnet):
            continue
        if not extra:
            return Ref(table="DHCP_Options", key=subnet.id), []
        options = _with_extra(_options(view, network, subnet), extra, ip_version)
        columns = {"cidr": subnet.cidr, "options": options}
        row = Row(table="DHCP_Options", key=f"{port.id} {ip_version}", subject=subject, columns=columns)
        return row.ref, [row]
    return None, []


def _options(view: View, network: Network, subnet: Subnet) -> dict[str, str]:
    return _v4(view, network, subnet) if subnet.ip_version == 4 else _v6(view, subnet)


def _v4(view: View, network: Network, subnet: Subnet) -> dict[str, str]:
    metadata = view.metadata_address(subnet.id, network.id)
    options = {
        # Whom guests ask for more time; OVN answers in its place, but a guest must be able to resolve it.
        "server_id": subnet.gateway_ip or metadata or "169.254.169.254",
        "server_mac": _server_mac(subnet),
        "lease_time": str(LEASE_SECONDS),
        "mtu": str(network.mtu),
    }
    if subnet.gateway_ip:
        options["router"] = subnet.gateway_ip
    servers = subnet.dns_nameservers or tuple(each for each in view.site.dns_servers if ":" not in each)
    if servers:
        options["dns_server"] = text_list(servers)
    domain = (network.dns_domain or view.site.dns_domain).rstrip(".")
    if domain:
        options["domain_name"] = f'"{domain}"'
    routes = [f"{route.destination},{route.nexthop}" for route in subnet.host_routes]
    if metadata:
        routes.insert(0, f"{METADATA_ROUTE},{metadata}")
    if routes and subnet.gateway_ip:
        # A guest that is given routes passes over the option `router` (RFC 3442).
        routes.append(f"0.0.0.0/0,{subnet.gateway_ip}")
    if routes:
        options["classless_static_route"] = text_list(routes)
    return options


def _v6(view: View, subnet: Subnet) -> dict[str, str]:
    options = {"server_id": _server_mac(subnet)}
    servers = subnet.dns_nameservers or tuple(each for each in view.site.dns_servers if ":" in each)
    if servers:
        options["dns_server"] = text_list(servers)
    if subnet.ipv6_address_mode == "dhcpv6-stateless":
        options["dhcpv6_stateless"] = "true"
    return options


def _with_extra(options: dict[str, str], extra: list[ExtraDhcpOption], ip_version: int) -> dict[str, str]:
    names = _V4_OPTIONS if ip_version == 4 else _V6_OPTIONS
    for each in extra:
        name = names.get(each.opt_name)
        if name is None:
            continue
        if each.opt_value is None:
            options.pop(name, None)
        else:
            options[name] = f'"{each.opt_value}"' if name in _QUOTED else _value(each.opt_value)
    return options


def _value(written: str) -> str:
    """Several values, with commas between them, in OVN's brackets."""
    return text_list(part.strip() for part in written.split(",")) if "," in written else written


def _server_mac(subnet: Subnet) -> str:
    """Where OVN's answers come from: the same each time, and of no card there is (locally administered)."""
    digest = hashlib.sha256(subnet.id.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x0E, *digest[:5]))
