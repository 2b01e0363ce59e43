"""Removes guests that a place still has though their servers have left it, and reports those that nobody knows."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import msgspec

from polyvisor.model.guest import GuestReport
from polyvisor.model.host import HostReport
from polyvisor.model.link import Inventory
from polyvisor.model.order import GuestRemove
from polyvisor.model.power import Power
from polyvisor.model.server import ServerFilter
from polyvisor.operate import guest_remove
from polyvisor.operate.tools import ControlTools
from polyvisor.operate.unasked import begin_unasked
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

MOST_NAMED = 3


def sweep(
    store: Store, tools: ControlTools, found: Inventory, here: Collection[str], busy: Collection[str], now: datetime
) -> Inventory:
    """Compare the guests of a place with the records.

    `here`: ids of the servers that are recorded at the place; `busy`: all that an unfinished operation works on.
    Returns the inventory, with a warning at each host that has guests which are left alone though nobody knows them.
    One statement where all is as recorded.
    """
    guests = by_server(found.guests)
    found = _with_doubles(found)
    _note_cleared(store, found, guests, now)
    others = {id: guest for id, guest in guests.items() if id not in here}
    if not others:
        return found
    known = {
        server.id: server for server in store.server.list(filter=ServerFilter(ids=tuple(sorted(others)), deleted=None))
    }
    left_alone = []
    for id, guest in sorted(others.items()):
        server = known.get(id)
        if server is None:
            left_alone.append(guest)
        elif id in busy or server.updated_at >= found.since:
            continue
        elif not guest_remove.is_stray(store, id, found.place):
            left_alone.append(guest)
        elif guest_remove.target(id, found.place) not in busy:
            _remove(store, tools, found.place, guest, now)
    return _with_warnings(found, left_alone)


def by_server(guests: Iterable[GuestReport]) -> dict[str, GuestReport]:
    """Our guests by their servers' ids. Of two with one id, the one that runs is the server's."""
    found: dict[str, GuestReport] = {}
    for guest in guests:
        if guest.server_id is not None and (guest.server_id not in found or guest.power is Power.ON):
            found[guest.server_id] = guest
    return found


def _with_doubles(found: Inventory) -> Inventory:
    """Two guests with one id, such as a fenced agent and its successor may have made in one vCenter, are reported.

    Neither is removed by itself while the server lives: which of them holds what its user wrote is not to be seen here.
    """
    counts = Counter(guest.server_id for guest in found.guests if guest.server_id is not None)
    doubled = {id for id, count in counts.items() if count > 1}
    if not doubled:
        return found
    by_host: dict[str, list[str]] = {}
    for id, guest in sorted(by_server(found.guests).items()):
        if id in doubled:
            by_host.setdefault(guest.host, []).append(f"{guest.name} ({id})")
    sentence = (
        "Servers have more than one guest here: {}. The one that runs counts as the server; look into the others, and "
        "remove them at the hypervisor. With the server, all of them are deleted."
    )
    return _with_sentence(found, by_host, sentence)


def _note_cleared(store: Store, found: Inventory, guests: Mapping[str, GuestReport], now: datetime) -> None:
    """A place that does not list a guest any more has nothing left of the server that went from it."""
    for migration in store.migration.left(found.place):
        guest = guests.get(migration.server_id)
        if migration.updated_at < found.since and (guest is None or guest.host != migration.source_host):
            store.migration.complete(migration.server_id, found.place, now)


def _remove(store: Store, tools: ControlTools, place: str, guest: GuestReport, now: datetime) -> None:
    server_id = str(guest.server_id)
    log.warning("the guest of server %s on %s is left over: it is removed there", server_id, guest.host)
    id = tools.new_id()
    begin_unasked(
        store,
        id,
        "guest.remove",
        guest_remove.target(server_id, place),
        GuestRemove(server_id=server_id, place=place, host=guest.host),
        now,
        alone=True,
    )


def _with_warnings(found: Inventory, left_alone: list[GuestReport]) -> Inventory:
    by_host: dict[str, list[str]] = {}
    for guest in left_alone:
        by_host.setdefault(guest.host, []).append(f"{guest.name} ({guest.server_id})")
    sentence = (
        "Guests that this cloud made are here, and its database does not say so: {}. They are left alone. If the "
        "database was restored from an older copy, bring back the newer one; otherwise remove them at the hypervisor."
    )
    return _with_sentence(found, by_host, sentence)


def _with_sentence(found: Inventory, by_host: Mapping[str, list[str]], sentence: str) -> Inventory:
    if not by_host:
        return found
    hosts = tuple(_warned(host, by_host.get(host.name, []), sentence) for host in found.hosts)
    return msgspec.structs.replace(found, hosts=hosts)


def _warned(report: HostReport, guests: list[str], sentence: str) -> HostReport:
    if not guests:
        return report
    more = len(guests) - MOST_NAMED
    named = ", ".join(guests[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return msgspec.structs.replace(report, warnings=(*report.warnings, sentence.format(named)))
