"""Every host of the cloud as columns, kept true row by row, so that a decision compares arrays and builds nothing."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
from msgspec import structs

from polyvisor.model.host import Capacity, HostState, Reach
from polyvisor.model.place import AggregateView, HostView, allocatable
from polyvisor.schedule.columns import Factor, Mask, Numbers, Tags
from polyvisor.schedule.groups import Group, GroupFacts, facts_of

VCPUS, MEMORY, DISK = range(3)
"""Rows of `limit` and `free`: vCPUs, memory in MiB, disk in GiB."""
RATIO_KEYS = ("cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio")
"""What aggregate metadata call their overcommit, in the same order."""

NO_DATASTORES_KNOWN = 1 << 62
_Amounts = tuple[int, int, int]


class HostTable:
    """The hosts, their aggregates, and what was claimed since they were last read.

    A host has a row, which it keeps until it is removed; `views[row]` is the host as it was last given. Columns may be
    longer than `size`: take `[:size]` of them. It holds no lock: whoever shares it between threads guards it.
    """

    def __init__(self, views: Iterable[HostView] = (), aggregates: Iterable[AggregateView] = ()) -> None:
        capacity = 64
        self.size = 0
        """Rows in use so far, those of removed hosts among them (`alive` tells)."""
        self.views: list[HostView | None] = []
        self.alive: Mask = np.zeros(capacity, dtype=np.bool_)
        self.up: Mask = np.zeros(capacity, dtype=np.bool_)
        self.enabled: Mask = np.zeros(capacity, dtype=np.bool_)
        self.limit = _numbers(3, capacity)
        """By VCPUS, MEMORY, DISK: what may be claimed in all, after reservation and overcommit."""
        self.free = _numbers(3, capacity)
        """What of that is not claimed; below zero where a host lost capacity or its overcommit was lowered."""
        self.largest = _numbers(2, capacity)
        """By VCPUS, MEMORY: the most that one guest may have."""
        self.datastore_free_bytes = _numbers(1, capacity)[0]
        """Free bytes of the datastore with the most; -1 = none may be used, NO_DATASTORES_KNOWN = the host has none."""
        self.servers = _numbers(1, capacity)[0]
        self.version = _numbers(1, capacity)[0]
        self.salt: npt.NDArray[np.uint64] = np.zeros(capacity, dtype=np.uint64)
        """A number that belongs to the host's name, which makes a choice by chance independent of the rows' order."""
        self.hypervisor_type: Factor[str] = Factor(capacity)
        self.architecture: Factor[str] = Factor(capacity)
        self.zone: Factor[str] = Factor(capacity)
        self.group: Factor[Group] = Factor(capacity)
        self.reach: Factor[Reach] = Factor(capacity)
        self.traits = Tags(capacity)
        self.images = Tags(capacity)
        self._rows: dict[str, int] = {}
        self._unused: list[int] = []
        self._claims: dict[int, list[_Amounts]] = {}
        self._aggregates: dict[int, AggregateView] = {}
        self._group_of: dict[str, Group] = {}
        self._groups: dict[Group, GroupFacts] = {}
        self.set_aggregates(aggregates)
        for view in views:
            self.update(view)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def row(self, name: str) -> int | None:
        """The row of a host; None when there is no such host."""
        return self._rows.get(name)

    def view(self, row: int) -> HostView:
        """The host in this row, as it was last given."""
        view = self.views[row]
        if view is None:
            raise LookupError(f"row {row} holds no host")
        return view

    def name(self, row: int) -> str:
        """The name of the host in this row."""
        return self.view(row).host.report.name

    def names(self) -> list[str]:
        """Every host's name, in order."""
        return sorted(self._rows)

    def facts(self, group: Group) -> GroupFacts:
        """What the aggregates of a group say together."""
        known = self._groups.get(group)
        if known is None:
            known = self._groups[group] = facts_of(self._aggregates[number] for number in group)
        return known

    def facts_at(self, row: int) -> GroupFacts:
        """What the aggregates of the host in this row say together."""
        return self.facts(self._group_of.get(self.name(row), ()))

    def generation(self, row: int) -> int:
        """The host's generation once the claims made here are in the store."""
        return self.view(row).host.generation + len(self._claims.get(row, ()))

    def limits(self, row: int) -> Capacity:
        """What may be claimed of the host in all."""
        vcpus, memory_mib, disk_gib = self.limit[:, row].tolist()
        return Capacity(vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib)

    # Changes

    def update(self, view: HostView, *, exact: bool = False) -> None:
        """A host is new or has changed.

        What the view says of claims is taken where it is as new as what is known: its generation tells. Claims made
        here stay until a view comes that can contain them; `exact` drops them, for after the store has refused one.
        """
        name = view.host.report.name
        row = self._rows.get(name)
        old = None if row is None else self.view(row)
        if row is None:
            row = self._new_row(name)
        elif old is not None and old.host.uuid == view.host.uuid and not exact:
            view = self._newest_claims(row, old, view)
        else:
            self._claims.pop(row, None)
        self.views[row] = view
        host = view.host
        self.up[row] = host.state is HostState.UP
        self.enabled[row] = host.enabled
        self.zone.set(row, host.zone)
        if old is None or old.host.report != host.report or old.datastores != view.datastores:
            self._set_report(row, old, view)
        self._settle(row)

    def remove(self, name: str) -> None:
        """A host has left; nothing happens when it is not there."""
        row = self._rows.pop(name, None)
        if row is None:
            return
        report = self.view(row).host.report
        self.alive[row] = False
        self.traits.change(row, report.traits, frozenset())
        self.images.change(row, report.cached_images, frozenset())
        for factor in (self.hypervisor_type, self.architecture, self.zone):
            factor.set(row, None)
        self.group.set(row, None)
        self.views[row] = None
        self._claims.pop(row, None)
        self._unused.append(row)

    def set_aggregates(self, aggregates: Iterable[AggregateView]) -> None:
        """These are all the aggregates now. Only hosts of those that changed are looked at."""
        new = {aggregate.id: aggregate for aggregate in aggregates}
        old, self._aggregates = self._aggregates, new
        changed = [number for number in {*old, *new} if old.get(number) != new.get(number)]
        if not changed:
            return
        self._groups.clear()
        self.group.forget()
        touched: set[str] = set()
        for number in changed:
            touched.update(*(given[number].hosts for given in (old, new) if number in given))
        for name in touched:
            group = tuple(sorted(number for number, aggregate in new.items() if name in aggregate.hosts))
            self._group_of[name] = group
            row = self._rows.get(name)
            if row is not None:
                self.group.set(row, group)
                self._settle(row)

    def claim(self, name: str, vcpus: int, memory_mib: int, disk_gib: int) -> None:
        """Hold what a server needs on this host until the host is read again. Raises KeyError for an unknown host."""
        row = self._rows[name]
        self._claims.setdefault(row, []).append((vcpus, memory_mib, disk_gib))
        self._settle(row)

    def release(self, name: str, vcpus: int, memory_mib: int, disk_gib: int) -> None:
        """A claim made here did not get into the store: give it back, where it still counts."""
        row = self._rows.get(name)
        claims = self._claims.get(row, []) if row is not None else []
        if row is not None and (vcpus, memory_mib, disk_gib) in claims:
            claims.remove((vcpus, memory_mib, disk_gib))
            self._settle(row)

    # How

    def _newest_claims(self, row: int, old: HostView, new: HostView) -> HostView:
        """The new view, with the old one's claims where those are newer; claims made here that it contains go."""
        ahead = new.host.generation - old.host.generation
        if ahead < 0:
            return _with_claims_of(old, new)
        if ahead and row in self._claims:
            # Each claim moves the generation by one, so the oldest of ours are those that are in.
            del self._claims[row][:ahead]
        return new

    def _new_row(self, name: str) -> int:
        if self._unused:
            row = self._unused.pop()
        else:
            row = self.size
            if row == len(self.alive):
                self._grow(2 * row)
            self.views.append(None)
            self.size += 1
        self._rows[name] = row
        self.alive[row] = True
        self.salt[row] = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
        return row

    def _grow(self, capacity: int) -> None:
        for column in ("alive", "up", "enabled", "datastore_free_bytes", "servers", "version", "salt"):
            setattr(self, column, _longer(getattr(self, column), capacity))
        for columns in ("limit", "free", "largest"):
            setattr(self, columns, _longer(getattr(self, columns), capacity))
        for factor in (self.hypervisor_type, self.architecture, self.zone, self.group, self.reach):
            factor.grow(capacity)
        for tags in (self.traits, self.images):
            tags.grow(capacity)

    def _set_report(self, row: int, old: HostView | None, view: HostView) -> None:
        """Take over what the driver reported."""
        report = view.host.report
        before = old.host.report if old is not None else None
        self.hypervisor_type.set(row, report.hypervisor_type)
        self.architecture.set(row, report.architecture)
        self.reach.set(row, report.reach)
        self.group.set(row, self._group_of.get(report.name, ()))
        self.traits.change(row, before.traits if before else frozenset(), report.traits)
        self.images.change(row, before.cached_images if before else frozenset(), report.cached_images)
        self.largest[VCPUS, row] = report.largest_vcpus
        self.largest[MEMORY, row] = report.largest_memory_mib
        self.datastore_free_bytes[row] = datastore_free_bytes(view)
        self.version[row] = report.hypervisor_version

    def _settle(self, row: int) -> None:
        """Work out what may be claimed of a host, and what of it is free."""
        host = self.view(row).host
        facts = self.facts_at(row)
        capacity = host.report.capacity
        claims = self._claims.get(row, [])
        for resource, (total, reserved, used, own) in enumerate(
            (
                (capacity.vcpus, host.reserved_vcpus, host.used_vcpus, host.vcpu_ratio),
                (capacity.memory_mib, host.reserved_memory_mib, host.used_memory_mib, host.memory_ratio),
                (capacity.disk_gib, host.reserved_disk_gib, host.used_disk_gib, host.disk_ratio),
            )
        ):
            limit = allocatable(total, reserved, facts.ratio(RATIO_KEYS[resource], own))
            self.limit[resource, row] = limit
            self.free[resource, row] = limit - used - sum(amounts[resource] for amounts in claims)
        self.servers[row] = host.servers + len(claims)


def datastore_free_bytes(view: HostView) -> int:
    """Free bytes of the datastore with the most of those that servers may use; -1 = none may be used."""
    if not view.datastores and not view.host.report.datastores:
        return NO_DATASTORES_KNOWN
    return max((datastore.free_bytes for datastore in view.datastores if datastore.accessible), default=-1)


def _with_claims_of(old: HostView, new: HostView) -> HostView:
    kept = ("used_vcpus", "used_memory_mib", "used_disk_gib", "servers", "generation")
    return structs.replace(new, host=structs.replace(new.host, **{name: getattr(old.host, name) for name in kept}))


def _numbers(rows: int, capacity: int) -> Numbers:
    return np.zeros((rows, capacity), dtype=np.int64)


def _longer(column: npt.NDArray[np.generic], capacity: int) -> npt.NDArray[np.generic]:
    more = np.zeros((*column.shape[:-1], capacity - column.shape[-1]), dtype=column.dtype)
    return np.concatenate([column, more], axis=-1)
