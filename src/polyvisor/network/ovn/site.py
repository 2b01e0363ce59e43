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
    addressed: frozenset[str] = frozenset()
    """Those on which it has a MAC address of its own (ovn-chassis-mac-mappings)."""
    gateway: bool = False
    """Whether it was set apart for gateways (enable-chassis-as-gw)."""


class Site(Record):
    """Where the records are made real."""

    chassis: tuple[Chassis, ...] = ()
    dns_servers: tuple[str, ...] = ()
    dns_domain: str = ""
    distributed_floating_ips: bool = False

    def chassis_of(self, host: str) -> str | None:
        """The name of the chassis that a hypervisor host is; None where it is none.

        By its name (system-id) or its hostname; else by either without its domain, where one chassis alone fits:
        what one calls "kvm-1" is "kvm-1.example.org" to another.
        """
        exact = [each.name for each in self.chassis if host in (each.name, each.hostname)]
        if exact:
            return min(exact, key=lambda name: (name != host, name))
        alike = [each.name for each in self.chassis if _alike(host, each.name) or _alike(host, each.hostname)]
        return alike[0] if len(alike) == 1 else None

    def gateways(self, physical_networks: Iterable[str], seed: str) -> list[str]:
        """Names of the chassis for a gateway to these physical networks, the one to act first.

        Those that were set apart for gateways, or else all that reach a network. Each seed has its own order, which
        stays as it is when other chassis come and go.
        """
        wanted = set(physical_networks)
        reaching = [each for each in self.chassis if wanted & each.physical_networks]
        chosen = [each for each in reaching if each.gateway] or reaching
        return sorted((each.name for each in chosen), key=lambda name: _weight(seed, name))[:MOST_GATEWAYS]

    def unaddressed(self, physical_networks: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Of these physical networks those that several chassis reach, some of them without a MAC address of their
        own there: the names of these."""
        found = {}
        for network in physical_networks:
            reaching = [each for each in self.chassis if network in each.physical_networks]
            without = tuple(each.name for each in reaching if network not in each.addressed)
            if len(reaching) > 1 and without:
                found[network] = without
        return found


def _alike(one: str, other: str) -> bool:
    """Whether one host name is the other without its domain."""
    shorter, longer = sorted((one, other), key=len)
    return bool(shorter) and longer.startswith(f"{shorter}.") and "." not in shorter


def _weight(seed: str, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
