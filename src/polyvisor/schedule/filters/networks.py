"""Hosts that can carry every network on which the server is to have a card."""

from polyvisor.model.host import Reach
from polyvisor.model.network import NetworkType
from polyvisor.model.place import NetworkNeed
from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.table import HostTable

ADVICE = "choose another network"


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts carry all of them; None = all, as the server has no cards."""
    needed = ask.request.networks
    if not needed:
        return None
    return table.reach.where(needed, lambda reach: all(_carried(reach, network) for network in needed), table.size)


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    reach = table.view(row).host.report.reach
    missing = [_missing(network) for network in ask.request.networks if not _carried(reach, network)]
    return " and ".join(missing) or None


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    reach = table.view(row).host.report.reach
    name = next(network.name for network in ask.request.networks if not _carried(reach, network))
    return Phrase(f"is not connected to the network {name}", f"are not connected to the network {name}")


def _carried(reach: Reach, network: NetworkNeed) -> bool:
    return any(reach.carries(segment) for segment in network.segments)


def _missing(network: NetworkNeed) -> str:
    physical = sorted({segment.physical_network for segment in network.segments if segment.physical_network})
    if physical:
        return f"is not connected to {' or '.join(physical)}, which carries the network {network.name}"
    if any(segment.network_type is NetworkType.GENEVE for segment in network.segments):
        return f"carries no geneve networks, and the network {network.name} is one"
    return f"cannot carry the network {network.name}, which has no segment"
