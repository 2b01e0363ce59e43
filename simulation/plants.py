"""Bugs that are planted to see that the invariants find them: patches at the product's seams, while a run lasts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from polyvisor.model.operation import Operation as Row
from polyvisor.operate import engine, guest_remove, holding, host_drain, progress, relocate
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.holds import Holds
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.reconcile import stray_guest
from polyvisor.operate.round import Round
from polyvisor.store.operation import Operations

Kinds = Mapping[str, Definition[Any]]
_replace = msgspec.structs.replace


class Plant(msgspec.Struct, frozen=True):
    """One bug."""

    what: str
    found_by: tuple[str, ...]
    """The invariants that may notice it first."""
    plant: Callable[[], Any]
    """Gives a context manager whose value is the kinds of operations to run with."""
    faults: tuple[str, ...] = ()
    """The kinds of faults that bring it to light soonest; empty = all of them, as in any history."""


@contextmanager
def _patched(owner: Any, name: str, value: Any) -> Iterator[Kinds]:
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield KINDS
    finally:
        setattr(owner, name, before)


def changed_step(kind: str, step: str, **parts: Any) -> Kinds:
    """The kinds with one step's parts (`do`, `undo_step`) replaced."""
    operation = copy.copy(KINDS[kind])
    operation.steps = [copy.copy(each) for each in operation.steps]
    for each in operation.steps:
        if each.name == step:
            for name, value in parts.items():
                setattr(each, name, value)
    return {**KINDS, kind: operation}


@contextmanager
def no_plant() -> Iterator[Kinds]:
    """The product as it is."""
    yield KINDS


@contextmanager
def _undo_removed() -> Iterator[Kinds]:
    yield changed_step("server.create", "make", undo_step=None)


def _hold_not_prolonged() -> Any:
    taken = holding.taken

    def once(place: Any, party: Any, driver: str, now: Any) -> Any:
        fresh = taken(place, party, driver, now)
        return _replace(fresh, held_until=place.held_until) if place.holder == party.owner else fresh

    return _patched(holding, "taken", once)


def _lease_not_renewed() -> Any:
    return _patched(Operations, "renew", lambda self, ids, until: None)


def _epoch_not_checked() -> Any:
    take_in = engine._Work.take_in

    def credulous(self: Any, asks: Any) -> None:
        asks = list(asks)
        rows = self.store.operation.many({report.operation_id for ask in asks for report in ask.reports})
        for ask in asks:
            for report in ask.reports:
                row = rows.get(report.operation_id)
                if row is not None and row.lease_owner:
                    believed = _replace(report, epoch=row.lease_epoch)
                    take_in(self, [_replace(ask, owner=row.lease_owner, reports=(believed,))])

    return _patched(engine._Work, "take_in", credulous)


def _not_fenced() -> Any:
    return _patched(Holds, "ensure", lambda self, place, epoch: None)


def _waiting_not_started() -> Any:
    def still(row: Row, now: Any) -> Row:
        return row

    return _patched(progress, "started", still)


def _recover_ignored() -> Any:
    return _patched(Round, "_handed_over_again", lambda self, asks, exchanges: [[] for _ in asks])


def _leases_kept_on_takeover() -> Any:
    return _patched(Operations, "lose_leases", lambda self, places, now: None)


def _guard_ignores_time() -> Any:
    def epoch(self: Holds, place: str) -> int | None:
        held = self._held.get(place)
        return None if held is None else held.epoch

    return _patched(Holds, "epoch", epoch)


@contextmanager
def _strangers_removed() -> Iterator[Kinds]:
    sweep, is_stray = stray_guest.sweep, guest_remove.is_stray

    def zealous(store: Any, tools: Any, found: Any, here: Any, busy: Any, now: Any) -> Any:
        for guest in found.guests:
            target = guest_remove.target(str(guest.server_id), found.place)
            if guest.server_id not in here and target not in busy and guest.server_id not in busy:
                stray_guest._remove(store, tools, found.place, guest, now)
        return found

    stray_guest.sweep, guest_remove.is_stray = zealous, lambda store, server_id, place: True
    try:
        yield KINDS
    finally:
        stray_guest.sweep, guest_remove.is_stray = sweep, is_stray


@contextmanager
def _failed_host_not_excluded() -> Iterator[Kinds]:
    passed_over, claim_elsewhere = relocate._passed_over, relocate.claim_elsewhere

    def forgetful(store: Any, request: Any, left: Any) -> dict[str, str]:
        return {name: why for name, why in passed_over(store, request, left).items() if name != left.host}

    def back(store: Any, tools: Any, row: Any, request: Any, left: Any, now: Any) -> Any:
        """The scheduler would pass over a host that is down; whoever forces it there meets the exclusion alone."""
        forced = _replace(request, host=left.host, force=True)
        return claim_elsewhere(store, tools, row, forced, left, now)

    relocate._passed_over, relocate.claim_elsewhere = forgetful, back
    try:
        yield KINDS
    finally:
        relocate._passed_over, relocate.claim_elsewhere = passed_over, claim_elsewhere


def _drain_forgets() -> Any:
    ways = host_drain.ways

    def forgetful(store: Any, host: Any, now: Any, *, rebuild: bool) -> Any:
        return ways(store, host, now, rebuild=rebuild)[:-1]

    return _patched(host_drain, "ways", forgetful)


def _held_as_long() -> Any:
    return _patched(holding, "HELD_SECONDS", holding.HOLD_SECONDS)


PLANTS: dict[str, Plant] = {
    "undo removed": Plant(
        what="The undo of server.create's step `make` is gone.",
        found_by=("journal", "guests"),
        plant=_undo_removed,
        faults=(
            "hypervisor refuses",
            "hypervisor loses replies",
        ),
    ),
    "hold not prolonged": Plant(
        what="A beat does not prolong the hold of a place.",
        found_by=("one holder", "ends"),
        plant=_hold_not_prolonged,
        faults=("lose notifications",),
    ),
    "lease not renewed": Plant(
        what="A beat does not renew the leases of running steps.",
        found_by=("leases",),
        plant=_lease_not_renewed,
        faults=("hypervisor slow",),
    ),
    "epoch not checked": Plant(
        what="Reports are taken whatever lease they were made under.",
        found_by=("journal", "as asked", "guests", "one guest", "surprise"),
        plant=_epoch_not_checked,
        faults=(
            "double messages",
            "delay messages",
        ),
    ),
    "not fenced": Plant(
        what="A step does not ask whether its process still holds the place.",
        found_by=("fencing", "one caller"),
        plant=_not_fenced,
        faults=("stop",),
    ),
    "guard ignores time": Plant(
        what="A process believes in its hold until it hears otherwise.",
        found_by=("one holder", "fencing"),
        plant=_guard_ignores_time,
        faults=(
            "cut agent from all servers",
            "stop",
        ),
    ),
    "waiting not started": Plant(
        what="An operation that waited is not started when the one before it has ended.",
        found_by=("waiting",),
        plant=_waiting_not_started,
    ),
    "recover ignored": Plant(
        what="Leases whose hand-over was lost are not handed over again.",
        found_by=("handed over",),
        plant=_recover_ignored,
        faults=("lose messages",),
    ),
    "leases kept on takeover": Plant(
        what="When a place goes to another process, the leases of the one before stay.",
        found_by=("takeover",),
        plant=_leases_kept_on_takeover,
        faults=("kill",),
    ),
    "strangers removed": Plant(
        what="The search for stray guests removes guests that the database has never known.",
        found_by=("strangers",),
        plant=_strangers_removed,
        faults=("unknown guest",),
    ),
    "failed host not excluded": Plant(
        what="An evacuation may be forced onto the host that it is to leave.",
        found_by=("elsewhere",),
        plant=_failed_host_not_excluded,
        faults=("host loses power",),
    ),
    "drain forgets a server": Plant(
        what="A drain passes over one of the servers that are on its host.",
        found_by=("drained",),
        plant=_drain_forgets,
        faults=("lose notifications",),
    ),
    "held as long as its servers count": Plant(
        what="An agent acts for as long as the servers count, though their clocks may run faster than its own.",
        found_by=("one holder", "fencing"),
        plant=_held_as_long,
        faults=("database clock jumps", "cut agent from all servers"),
    ),
}
"""Every planted bug by its name."""
