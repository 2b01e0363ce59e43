"""What the translation needs to know besides the records: the site's settings, and its chassis."""

import hashlib
from collections.abc import Iterable

from polyvisor.model.record import Record

MOST_GATEWAYS = 5
"""How many chassis stand ready for one gateway; more of them only watch each other."""


class Chassis(Record):
    """A chassis as the southbound database knows it."""

    name: str
    hostname: str
    physical_networks: frozenset[str] = frozenset()
    """Those that its bridges are mapped to."""
    gateway: bool = False
    """Whether it was set apart for gateways (enable-chassis-as-gw)."""


class Site(Record):
    """Where the records are made real."""

    chassis: tuple[Chassis, ...] = ()
    dns_servers: tuple[str, ...] = ()
    dns_domain: str = ""
    distributed_floating_ips: bool = False

    def has_host(self, host: str) -> bool:
        """Whether a hypervisor host is a chassis, by its name or its hostname."""
        return any(host in (each.name, each.hostname) for each in self.chassis)

    def gateways(self, physical_networks: Iterable[str], seed: str) -> list[str]:
        """Names of the chassis for a gateway to these physical networks, the one to act first.

        Those that were set apart for gateways, or else all that reach a network. Each seed has its own order, which
        stays as it is when other chassis come and go.
        """
        wanted = set(physical_networks)
        reaching = [each for each in self.chassis if wanted & each.physical_networks]
        chosen = [each for each in reaching if each.gateway] or reaching
        return sorted((each.name for each in chosen), key=lambda name: _weight(seed, name))[:MOST_GATEWAYS]


def _weight(seed: str, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
