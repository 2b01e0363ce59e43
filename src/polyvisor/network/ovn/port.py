"""Ports: a logical switch port each, with its place in port groups, its DHCP options, its names and its limits."""

import ipaddress
from collections.abc import Iterator

from polyvisor.model.port import METADATA, Port
from polyvisor.network.backend import Subject
from polyvisor.network.ovn import dhcp, qos
from polyvisor.network.ovn.row import NOTHING, Place, Ref, Row, Value, some
from polyvisor.network.ovn.security_group import DROP
from polyvisor.network.ovn.view import View, physical_networks

TABLE = "Logical_Switch_Port"
DIRECT = frozenset(("direct", "direct-physical", "macvtap", "virtio-forwarder"))
"""Kinds of cards whose packets pass no switch of the host: gateways answer in its place."""


def rows(view: View, subject: Subject) -> Iterator[Row]:
    """A port's rows; none while its network is unknown."""
    port = view.records.ports[subject.id]
    if port.network_id not in view.records.networks:
        return
    columns, options = _columns(view, port, subject)
    yield from options
    places = [Place(table="Logical_Switch", key=port.network_id, column="ports")]
    if _is_guarded(port):
        places += [Place(table="Port_Group", key=group, column="ports") for group in (DROP, *port.security_group_ids)]
    yield Row(table=TABLE, key=port.id, subject=subject, columns=columns, places=tuple(places))
    yield from qos.rows(view, port, subject)
    yield from _names(view, port, subject)


def _columns(view: View, port: Port, subject: Subject) -> tuple[dict[str, Value], list[Row]]:
    columns: dict[str, Value] = {
        "name": port.id,
        "type": _type(view, port),
        "addresses": _addresses(port),
        "port_security": _allowed(port),
        "enabled": some(port.admin_state_up),
        "options": _options(view, port),
    }
    if columns["type"] == "external":
        columns["ha_chassis_group"] = some(Ref(table="HA_Chassis_Group", key=port.network_id))
    own: list[Row] = []
    if not port.device_owner.startswith("network:"):
        for ip_version, column in ((4, "dhcpv4_options"), (6, "dhcpv6_options")):
            ref, made = dhcp.port_options(view, port, subject, ip_version)
            columns[column] = some(ref) if ref else NOTHING
            own += made
    parent = view.records.parents.get(port.id)
    if parent is not None:
        columns["parent_name"] = some(parent.port_id)
        columns["tag"] = some(parent.vlan)
    return columns, own


def _type(view: View, port: Port) -> str:
    if port.device_owner == METADATA:
        return "localport"  # one on every chassis, each for its own guests
    outside = port.binding.vif_type == "dvs" or port.binding.vnic_type in DIRECT
    if outside and physical_networks(view.records.networks[port.network_id]):
        return "external"
    return ""


def _options(view: View, port: Port) -> dict[str, str]:
    """Bound to a chassis, a port is claimed by no other, whoever else may still have an interface of that name."""
    chassis = view.site.chassis_of(port.binding.host)
    return {"requested-chassis": chassis} if _type(view, port) == "" and chassis is not None else {}


def _addresses(port: Port) -> frozenset[str]:
    """What the switch knows to be behind the port."""
    known = {" ".join((port.mac_address, *(ip.ip_address for ip in port.fixed_ips)))}
    known |= {pair.mac_address for pair in port.allowed_address_pairs if pair.mac_address != port.mac_address}
    if not port.port_security_enabled:
        known.add("unknown")  # it may send from any address, so frames to unknown ones are for it too
    return frozenset(known)


def _allowed(port: Port) -> frozenset[str]:
    """What the port may send from; nothing said is everything allowed."""
    if not _is_guarded(port):
        return NOTHING
    allowed = {port.mac_address: [ip.ip_address for ip in port.fixed_ips]}
    for pair in port.allowed_address_pairs:
        allowed.setdefault(pair.mac_address, []).append(_plain(pair.ip_address))
    return frozenset(" ".join((mac, *addresses)) for mac, addresses in allowed.items())


def _plain(address: str) -> str:
    """A network of one address is that address."""
    network = ipaddress.ip_network(address, strict=False)
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _is_guarded(port: Port) -> bool:
    """The cloud's own ports are trusted: what passes there is somebody else's traffic."""
    return port.port_security_enabled and not port.device_owner.startswith("network:")


def _names(view: View, port: Port, subject: Subject) -> Iterator[Row]:
    """What OVN answers to those who ask for the port's name, or for the name of its addresses."""
    if not port.dns_name or not port.fixed_ips:
        return
    name = port.dns_name.lower()
    addresses = " ".join(ip.ip_address for ip in port.fixed_ips)
    records = {name: addresses}
    domain = (port.dns_domain or view.records.networks[port.network_id].dns_domain or view.site.dns_domain).rstrip(".")
    whole = f"{name}.{domain.lower()}" if domain else name
    records[whole] = addresses
    for ip in port.fixed_ips:
        records[ipaddress.ip_address(ip.ip_address).reverse_pointer] = whole
    yield Row(
        table="DNS",
        key=port.id,
        subject=subject,
        columns={"records": records},
        places=(Place(table="Logical_Switch", key=port.network_id, column="dns_records"),),
    )
