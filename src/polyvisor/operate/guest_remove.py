"""Removes a guest that is left at a place which its server has left, or whose server was deleted."""

import hashlib

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.operation import UNFINISHED, OperationState
from polyvisor.model.order import GuestRemove
from polyvisor.model.record import Record
from polyvisor.operate.definition import Operation, Run, control, place_of
from polyvisor.store.store import Store

guest_remove = Operation("guest.remove", GuestRemove)
_AT_WORK = (*UNFINISHED, OperationState.STUCK)


class Remains(Record):
    """Where the guest is that nobody stands for."""

    place: str


def target(server_id: str, place: str) -> str:
    """What the operation works on: this server's guest at this place, and not the server."""
    return f"{_prefix(server_id)}{hashlib.sha256(place.encode()).hexdigest()[:16]}"


def _prefix(server_id: str) -> str:
    return f"remains:{server_id}:"


def places_with_remains(store: Store, server_id: str) -> frozenset[str]:
    """Places that may still have an old guest of the server: nothing of it may be made there meanwhile."""
    left = {each.source_place for each in store.migration.uncleared(server_id)}
    removing = {args["place"] for args in store.migration.removals(_prefix(server_id))}
    return frozenset(left | removing)


def is_stray(store: Store, server_id: str, place: str) -> bool:
    """Whether a guest of this server at this place is one that nobody stands for, and the records prove it.

    It is when its server was deleted, or has left the place: a migration says so, or the journal of an operation that
    was there and was undone. What the database does not know of is no reason to remove anything: it may be an old copy.
    """
    try:
        server = store.server.get(server_id, deleted=True)
    except NotFound:
        return False
    rows = store.operation.of_target(server_id)
    if any(row.state in _AT_WORK for row in rows):
        return False  # that operation knows better
    if server.deleted_at is not None:
        return True
    if server.place == place:
        return False
    if any(each.source_place == place for each in store.migration.arrived(server_id)):
        return True
    return any(entry.place == place and entry.outcome == "undone" for row in rows for entry in row.journal)


@guest_remove.step(at=control)
def check(run: Run[GuestRemove]) -> Remains:
    """Look again, right before: it may have become the server's own guest meanwhile."""
    if not is_stray(run.store, run.args.server_id, run.args.place):
        raise Conflict(f"The guest of server {run.args.server_id} at {run.args.place} is not left over any more.")
    return Remains(place=run.args.place)


@guest_remove.step(at=place_of(check), patience_seconds=365 * 24 * 3600)
def remove(run: Run[GuestRemove]) -> None:
    """End it and remove what is its own; disks that another host has taken over stay. There is no way back."""
    run.driver.destroy(run.args.server_id)


@guest_remove.step(at=control)
def finish(run: Run[GuestRemove]) -> None:
    """Nothing of the server is left there."""
    run.store.migration.complete(run.args.server_id, run.args.place, run.now)
