"""Evacuates the servers of hosts that stay silent, where the aggregate's policy says so."""

import logging
from datetime import datetime, timedelta

import msgspec

from polyvisor.model.host import Host, HostState, HypervisorType
from polyvisor.model.server import VmState
from polyvisor.operate import evacuation, relocate
from polyvisor.operate.tools import ControlTools
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

_STATES = (VmState.ACTIVE, VmState.STOPPED)


class Verdict(msgspec.Struct, frozen=True):
    """What one sweep did, and why it did no more."""

    begun: tuple[str, ...] = ()
    """Ids of the servers whose evacuation was begun."""
    refused: str = ""
    """Why nothing is evacuated at all, in a sentence."""


def sweep(store: Store, tools: ControlTools, now: datetime) -> Verdict:
    """Begin evacuations, as many as may be under way at once. One statement where no aggregate asks for any."""
    policy = store.hypervisor.automatic()
    if not policy:
        return Verdict()
    hosts = store.host.list()
    down = [host for host in hosts if host.state is HostState.DOWN]
    due = [host for host in down if host.name in policy and _is_due(store, tools, host, policy[host.name][0], now)]
    if not due:
        return Verdict()
    most = max(1.0, len(hosts) * tools.compute.evacuate_most_down)
    if len(down) > most:
        return Verdict(
            refused=f"{len(down)} of {len(hosts)} hosts are down, more than evacuate_most_down allows: this looks like "
            f"the network, so nothing is evacuated automatically."
        )
    room = tools.compute.evacuate_at_once - store.migration.automatic_under_way()
    begun: list[str] = []
    for host in due:
        shared = bool(relocate.sharing_hosts(host, hosts))
        if not shared and not policy[host.name][1]:
            continue
        for server in store.server.on_host(host.name):
            if len(begun) >= room:
                return Verdict(begun=tuple(begun))
            if server.vm_state in _STATES and not evacuation.refusal(store, server, shared=shared):
                log.warning("evacuating server %s: its host %s is down", server.id, host.name)
                evacuation.begin(store, server, tools.new_id, now, may_rebuild=not shared, waits=True)
                begun.append(server.id)
    return Verdict(begun=tuple(begun))


def _is_due(store: Store, tools: ControlTools, host: Host, since: datetime, now: datetime) -> bool:
    """Whether the host has been silent for so long that its agent has turned its guests off by now.

    A policy that is younger than the silence was never told to the agent. vSphere restarts guests of its own accord.
    """
    if host.forced_down or host.report.hypervisor_type is HypervisorType.VMWARE:
        return False
    place = store.place.find(host.place)
    if place is None or place.is_held(now) or since > place.seen_at:
        return False
    return now - place.seen_at > timedelta(seconds=tools.compute.evacuate_after_seconds)
