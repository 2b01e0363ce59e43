"""What a router translates on its way out: the addresses of its subnets, floating IPs, and forwarded ports."""

from collections import defaultdict
from collections.abc import Iterator

from polyvisor.model.network import NetworkType
from polyvisor.model.router import FloatingIp, Router
from polyvisor.network.backend import Subject
from polyvisor.network.ovn.row import Place, Row, Value, some
from polyvisor.network.ovn.view import View


def rows(view: View, router: Router, subject: Subject) -> Iterator[Row]:
    """Of a router that has a gateway."""
    yield from _snat(view, router, subject)
    for floating in view.floating(router.id):
        if floating.fixed_ip_address:
            yield _floating(view, floating, subject)
        else:
            yield from _forwarded(floating, subject)


def _snat(view: View, router: Router, subject: Subject) -> Iterator[Row]:
    """IPv4 alone: addresses of IPv6 are routed as they are."""
    gateway = router.gateway
    if gateway is None or not gateway.enable_snat:
        return
    own = (ip for interface in view.records.interfaces.get(router.id, ()) for ip in interface.fixed_ips)
    outside = {ip.subnet_id: ip.ip_address for ip in gateway.external_fixed_ips or own}
    external = next((address for address in outside.values() if ":" not in address), None)
    if external is None:
        return
    subnets = {ip.subnet_id for interface in view.inside(router.id) for ip in interface.fixed_ips}
    for subnet_id in sorted(subnets):
        subnet = view.records.subnets.get(subnet_id)
        if subnet is not None and subnet.ip_version == 4:
            columns = {"type": "snat", "external_ip": external, "logical_ip": subnet.cidr}
            yield _nat(subject, f"{router.id} {subnet_id}", columns)


def _floating(view: View, floating: FloatingIp, subject: Subject) -> Row:
    columns: dict[str, Value] = {
        "type": "dnat_and_snat",
        "external_ip": floating.floating_ip_address,
        "logical_ip": floating.fixed_ip_address,
    }
    mac = _distributed_mac(view, floating)
    if mac:
        columns["external_mac"] = some(mac)
        columns["logical_port"] = some(floating.port_id)
    return _nat(subject, floating.id, columns)


def _distributed_mac(view: View, floating: FloatingIp) -> str:
    """The card that the address is reached by where the guest's own chassis translates it; "" where a gateway does.

    A port on a VLAN has to leave by the gateway with everything else of its router, and one that is on no chassis of
    its own has none that could do it.
    """
    port = view.records.ports.get(floating.port_id or "")
    keeper = view.records.ports.get(floating.floating_port_id)
    if not view.site.distributed_floating_ips or port is None or keeper is None:
        return ""
    network = view.records.networks.get(port.network_id)
    overlay = network is not None and all(each.network_type is NetworkType.GENEVE for each in network.segments)
    return keeper.mac_address if overlay and port.binding.vif_type in ("ovs", "binding_failed") else ""


def _forwarded(floating: FloatingIp, subject: Subject) -> Iterator[Row]:
    """A load balancer by protocol, each with one server behind each of its ports."""
    vips: dict[str, dict[str, str]] = defaultdict(dict)
    for each in floating.port_forwardings:
        outside, inside = _span(each.external_port), _span(each.internal_port)
        for number, outer in enumerate(outside):
            inner = inside[number] if len(inside) > 1 else inside[0]
            vips[each.protocol][f"{floating.floating_ip_address}:{outer}"] = f"{each.internal_ip_address}:{inner}"
    for protocol, targets in sorted(vips.items()):
        yield Row(
            table="Load_Balancer",
            key=f"{floating.id} {protocol}",
            subject=subject,
            columns={"name": f"polyvisor-{floating.id}-{protocol}", "vips": targets, "protocol": some(protocol)},
            places=(Place(table="Logical_Router", key=subject.id, column="load_balancer"),),
        )


def _span(written: str) -> range:
    """ "80" or "8000:8010"."""
    first, _, last = written.partition(":")
    return range(int(first), int(last or first) + 1)


def _nat(subject: Subject, key: str, columns: dict[str, Value]) -> Row:
    return Row(
        table="NAT",
        key=key,
        subject=subject,
        columns=columns,
        places=(Place(table="Logical_Router", key=subject.id, column="nat"),),
    )
