"""The records of one call, with the ways from one to another that the translation goes."""

from collections import defaultdict
from collections.abc import Iterable

from polyvisor.model.network import Network
from polyvisor.model.port import METADATA, FixedIp, Port
from polyvisor.model.router import FloatingIp, Interface
from polyvisor.model.subnet import Subnet
from polyvisor.network.backend import Records
from polyvisor.network.ovn.site import Site


class View:
    """Records and site, indexed once for all subjects of a call."""

    def __init__(self, records: Records, site: Site) -> None:
        self.records, self.site = records, site
        self._subnets: dict[str, list[Subnet]] = defaultdict(list)
        for _, subnet in sorted(records.subnets.items()):
            self._subnets[subnet.network_id].append(subnet)
        self._metadata: dict[str, Port] = {
            port.network_id: port for port in records.ports.values() if port.device_owner == METADATA
        }
        self._floating: dict[str, list[FloatingIp]] = defaultdict(list)
        for _, floating in sorted(records.floating_ips.items()):
            if floating.router_id:
                self._floating[floating.router_id].append(floating)
        self._way_out: dict[str, str] = {}
        for router_id, interfaces in sorted(records.interfaces.items()):
            router = records.routers.get(router_id)
            if router is not None and router.gateway is not None:
                for interface in interfaces:
                    if interface.port_id != router.gateway.port_id:
                        self._way_out.setdefault(interface.network_id, router_id)

    def subnets(self, network_id: str) -> list[Subnet]:
        """A network's, in the order of their ids."""
        return self._subnets[network_id]

    def metadata_address(self, subnet_id: str, network_id: str) -> str | None:
        """Where the network's metadata service answers within a subnet."""
        port = self._metadata.get(network_id)
        return next((ip.ip_address for ip in port.fixed_ips if ip.subnet_id == subnet_id), None) if port else None

    def prefixed(self, fixed_ips: Iterable[FixedIp]) -> list[str]:
        """Addresses with the lengths of their subnets' prefixes."""
        found = []
        for ip in fixed_ips:
            subnet = self.records.subnets.get(ip.subnet_id)
            if subnet is not None:
                found.append(f"{ip.ip_address}/{subnet.cidr.partition('/')[2]}")
        return found

    def floating(self, router_id: str) -> list[FloatingIp]:
        """Those that a router translates."""
        return self._floating[router_id]

    def inside(self, router_id: str) -> list[Interface]:
        """A router's interfaces but for its gateway's, on networks that there are."""
        router = self.records.routers[router_id]
        way_out = router.gateway.port_id if router.gateway else None
        return [
            each
            for each in self.records.interfaces.get(router_id, ())
            if each.port_id != way_out and each.network_id in self.records.networks
        ]

    def gateway_seed(self, network_id: str) -> str:
        """What orders the gateways of a network's `external` ports: a router that leads out of it, where there is one,
        so that both are at home on the same chassis."""
        return self._way_out.get(network_id, network_id)


def physical_networks(network: Network) -> list[str]:
    """The physical networks that carry a network's segments."""
    return [each.physical_network for each in network.segments if each.physical_network]
