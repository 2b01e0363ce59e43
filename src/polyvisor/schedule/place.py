"""Choosing the host for a server: filter, weigh, and pick one of the equal best by a seed."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from polyvisor.model.place import PlaceRequest, Plan
from polyvisor.schedule.ask import Ask, read
from polyvisor.schedule.columns import Mask
from polyvisor.schedule.explain import for_every_host, no_host, refused, unknown
from polyvisor.schedule.filters import Filter, filters_for
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable
from polyvisor.schedule.weighers import weigh
from polyvisor.schedule.weighers.weigher import Rows, Scores

DEFAULTS = ScheduleSettings()


def place(
    table: HostTable, request: PlaceRequest, settings: ScheduleSettings = DEFAULTS, *, seed: int | None = None
) -> Plan:
    """The best host for a server.

    Equal arguments give equal plans, whatever the order in which hosts came into the table. `seed` decides between
    hosts that are equally good; without one, the server's id does. Nothing is held: claim the plan in the table
    (`claim`), then in the store.

    Raises NoHost with a sentence for the user and, by host, all reasons for the administrator.
    """
    if request.force and request.host is not None:
        return _forced(table, request)
    try:
        ask = read(request)
    except ValueError as unreadable:
        raise for_every_host(table, str(unreadable)) from None
    filters = filters_for(settings)
    rows = np.flatnonzero(_fitting(table, ask, filters))
    if not len(rows):
        raise no_host(table, ask, filters)
    scores = weigh(table, rows, ask, settings)
    row = _choose(table, rows, scores, _seed(request) if seed is None else seed, settings.subset_size)
    return _plan(table, row, forced=False)


def refusals(table: HostTable, request: PlaceRequest, settings: ScheduleSettings = DEFAULTS) -> dict[str, str]:
    """For each host that the request cannot go to now, every reason; hosts that would do are not in it."""
    try:
        ask = read(request)
    except ValueError as unreadable:
        return for_every_host(table, str(unreadable)).refusals
    return {name: "; ".join(why) for name, why in refused(table, ask, filters_for(settings)).reasons.items()}


def _fitting(table: HostTable, ask: Ask, filters: Sequence[Filter]) -> Mask:
    found = table.alive[: table.size].copy()
    for condition in filters:
        mask = condition.mask(table, ask)
        if mask is not None:
            found &= mask
    return found


def _forced(table: HostTable, request: PlaceRequest) -> Plan:
    """The named host, unasked; only not where this operation has just failed."""
    name = str(request.host)
    row = table.row(name)
    if row is None:
        raise for_every_host(table, unknown(name))
    if name in request.passed_over:
        raise for_every_host(table, f"Host {name}, which was asked for, {request.passed_over[name]}.")
    if name in request.avoid:
        raise for_every_host(table, f"Host {name}, which was asked for, failed when tried. Ask for another host.")
    return _plan(table, row, forced=True)


def _plan(table: HostTable, row: int, *, forced: bool) -> Plan:
    host = table.view(row).host
    limits = None if forced else table.limits(row)
    return Plan(host=host.name, place=host.place, generation=table.generation(row), limits=limits)


def _choose(table: HostTable, rows: Rows, scores: Scores, seed: int, subset_size: int) -> int:
    """One of the best: those not worse than the `subset_size`-th best, so all that are equal to it take part."""
    worst = max(0, len(scores) - subset_size)
    threshold = scores.max() if subset_size == 1 else np.partition(scores, worst)[worst]
    best = rows[scores >= threshold]
    return int(best[np.argmin(_mixed(table.salt[best], seed))])


def _seed(request: PlaceRequest) -> int:
    return int.from_bytes(blake2b(request.server_id.encode(), digest_size=8).digest(), "big")


def _mixed(salts: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """A number for each host that depends on its name and the seed alone (the finalizer of SplitMix64)."""
    mixed = salts ^ np.uint64(seed & 0xFFFF_FFFF_FFFF_FFFF)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
