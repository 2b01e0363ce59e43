"""Takes what hypervisors say of themselves into the store: hosts join and change, guests' states are made true."""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from polyvisor.model.host import Host, HostReport, HostState, HypervisorType
from polyvisor.model.link import Glimpse, Inventory
from polyvisor.model.power import Power
from polyvisor.model.server import Server
from polyvisor.operate import guest_remove
from polyvisor.operate.reconcile import fenced_guest, power_state, stray_guest, vanished_guest
from polyvisor.operate.tools import ControlTools
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

AGGREGATE_OF = {
    HypervisorType.KVM: "kvm",
    HypervisorType.QEMU: "kvm",
    HypervisorType.VMWARE: "vmware",
    HypervisorType.SIMULATED: "simulated",
}
"""The aggregate a host falls into when it joins (O2)."""


def take(store: Store, tools: ControlTools, found: Inventory, now: datetime) -> None:
    """One place's whole inventory: complete each time, so that a lost one costs nothing."""
    known = {host.name: host for host in store.host.list(place=found.place)}
    if found.unreachable:
        _went_down(store, found, known)
        return
    found = _without_others(store, found, known)
    servers = store.server.at_place(found.place)
    busy = _busy(store, found, servers)
    found = stray_guest.sweep(store, tools, found, {server.id for server in servers}, busy, now)
    _join_or_update(store, tools, found, known, now)
    _leave(store, found, known, now)
    guests = stray_guest.by_server(found.guests)
    for server in servers:
        if server.id in busy or server.updated_at >= found.since:
            continue  # its operation knows better, or knew it later
        guest = guests.get(server.id)
        if guest is None:
            vanished_guest.note(store, server, now)
        elif guest.fenced and guest.power is Power.OFF:
            fenced_guest.note(store, tools, server, guest, now)
        else:
            power_state.note(store, server, guest, now)


def _busy(store: Store, found: Inventory, servers: Collection[Server]) -> frozenset[str]:
    """Of what the place has, all that an unfinished operation works on."""
    ids = {server.id for server in servers} | stray_guest.by_server(found.guests).keys()
    return store.operation.busy_targets(ids | {guest_remove.target(id, found.place) for id in ids})


def set_aside(store: Store, served: Collection[str]) -> None:
    """Hosts of connections that are not served any more are down: nobody looks at them.

    They do not leave by themselves, for a start with the wrong configuration must not cost them their aggregates.
    """
    for place in sorted(store.host.places() - frozenset(served)):
        reason = f"The connection {place} is not in the configuration: add it again, or delete the host's service."
        if store.host.down(place, reason):
            log.warning("hosts of %s are down: it is not in the configuration", place)
        store.server.unknown_power(place)


def take_glimpse(store: Store, found: Glimpse, now: datetime) -> None:
    """One guest right after a change; an absent one is believed only when a whole inventory says so too."""
    server = store.server.find(found.server_id)
    if server is None or server.place != found.place or found.guest is None or server.updated_at >= found.since:
        return
    if server.id not in store.operation.busy_targets([server.id]):
        power_state.note(store, server, found.guest, now)


def _went_down(store: Store, found: Inventory, known: Mapping[str, Host]) -> None:
    if any(host.state is HostState.UP for host in known.values()):
        log.warning("hypervisor connection %s does not answer: %s", found.place, found.unreachable)
        store.host.down(found.place, found.unreachable)
        store.server.unknown_power(found.place)


def _without_others(store: Store, found: Inventory, known: Mapping[str, Host]) -> Inventory:
    """The inventory without hosts that another place has: a name belongs to the place that brought it first."""
    elsewhere = store.host.placed([report.name for report in found.hosts if report.name not in known])
    for name, place in sorted(elsewhere.items()):
        log.warning(
            "%s lists a host %s, which is known at %s: it is passed over. Give it another name, or delete its service "
            "there once it is gone for good.",
            found.place, name, place,
        )  # fmt: skip
    kept = tuple(report for report in found.hosts if report.name not in elsewhere)
    return msgspec.structs.replace(found, hosts=kept) if elsewhere else found


def _join_or_update(
    store: Store, tools: ControlTools, found: Inventory, known: Mapping[str, Host], now: datetime
) -> None:
    fresh = []
    for report in found.hosts:
        host = known.get(report.name)
        if host is None:
            fresh.append(_joining(tools, found.place, report, now))
            _warn(report)
        elif host.report != report or host.state is not HostState.UP:
            if host.report.warnings != report.warnings:
                _warn(report)
            store.host.save_report(report.name, report, found.place, now)
    store.host.seen(found.place, now)
    if fresh:
        store.host.join(fresh)
        for kind in sorted({AGGREGATE_OF[host.report.hypervisor_type] for host in fresh}):
            names = [host.name for host in fresh if AGGREGATE_OF[host.report.hypervisor_type] == kind]
            store.aggregate.join(kind, names, new_uuid=tools.new_id(), now=now)
        log.info("%d hosts joined from %s: %s", len(fresh), found.place, ", ".join(host.name for host in fresh[:10]))


def _joining(tools: ControlTools, place: str, report: HostReport, now: datetime) -> Host:
    settings, ratios = tools.compute, tools.estate.settings
    return Host(
        id=0,
        uuid=tools.new_id(),
        place=place,
        report=report,
        state=HostState.UP,
        zone=settings.default_zone,
        vcpu_ratio=ratios.vcpu_ratio,
        memory_ratio=ratios.memory_ratio,
        disk_ratio=ratios.disk_ratio,
        reserved_vcpus=settings.reserved_vcpus,
        reserved_memory_mib=settings.reserved_memory_mib if report.hypervisor_type in _OWN_MEMORY else 0,
        reserved_disk_gib=settings.reserved_disk_gib,
        created_at=now,
        seen_at=now,
    )


_OWN_MEMORY = (HypervisorType.KVM, HypervisorType.QEMU)
"""Kinds whose host shares its memory with us; a vSphere cluster keeps its own reserve."""


def _leave(store: Store, found: Inventory, known: Mapping[str, Host], now: datetime) -> None:
    present = {report.name for report in found.hosts}
    for host in known.values():
        if host.name in present:
            continue
        if host.servers == 0:
            log.info("host %s has left %s", host.name, found.place)
            store.aggregate.leave(host.name, now)
            store.host.leave(host.name)
        elif host.state is HostState.UP:
            store.host.down_one(host.name, f"{found.place} no longer lists it, but it still holds servers.")


def _warn(report: HostReport) -> None:
    for sentence in report.warnings:
        log.warning("%s: %s", report.name, sentence)
