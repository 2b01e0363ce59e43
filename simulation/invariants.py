"""What must hold: after every transaction, at every change of a hypervisor, and once all is quiet again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from polyvisor.model.operation import UNFINISHED, Operation, OperationState
from polyvisor.model.power import Power
from polyvisor.model.server import Server, ServerFilter, VmState
from polyvisor.operate.engine import LEASE_SECONDS
from polyvisor.operate.kinds import KINDS
from polyvisor.store.store import Store
from simulation.estate import Effect

if TYPE_CHECKING:
    from simulation.world import World

INVARIANTS = {
    "sums": "What is used of each host is the sum of the claims on it.",
    "capacity": "No host has given away more than it has.",
    "one operation": "Of the operations on one target at most one is under way.",
    "waiting": "An operation waits only while an earlier one on its target is under way.",
    "counters": "Change counters, leases' epochs and holds' epochs only grow.",
    "fencing": "Nothing is changed at a hypervisor under a hold or a lease that has gone to another.",
    "takeover": "No step is leased to a process that does not hold the step's place.",
    "leases": "A step that is at work in a process that beats keeps its lease.",
    "handed over": "A lease whose hand-over was lost is handed over by the next exchange.",
    "one holder": "By the processes' own clocks, a place is held by one of them at most.",
    "one caller": "No two calls change one guest at once.",
    "elsewhere": "An evacuation brings a server up on another host than the one it leaves.",
    "drained": "When a drain has ended, no server is on its host any more.",
    "one guest": "A server has one running guest at most, over all hosts.",
    "journal": "Steps are done in their order, and undone in reverse where their operation failed.",
    "surprise": "No error occurs that nobody has foreseen, and no thread dies.",
    "ends": "Once the faults have ended, every operation ends.",
    "as asked": "Every server is as it was asked to be, or in ERROR with a reason.",
    "nothing lost": "What was answered with success has happened, and nothing that nobody asked for.",
    "guests": "There is a guest for each server that should have one, where the record says, and none beside them.",
    "disks": "On shared storage are the disks of the servers that are there, each its host's, and none beside them.",
    "claims": "There is a claim for each server that has a host, on that host, and none beside them.",
    "strangers": "A guest that the database has never known is left alone.",
    "images": "No host keeps a copy of an image that is no more.",
    "known": "The hosts' states are known, once they answer again.",
}
"""Every invariant by its name."""

_SUMS = """
SELECT h.name, h.used_vcpus, h.used_memory_mib, h.used_disk_gib, h.servers,
  COALESCE(SUM(c.vcpus), 0), COALESCE(SUM(c.memory_mib), 0), COALESCE(SUM(c.disk_gib), 0), COUNT(c.server_id)
FROM host h LEFT JOIN claim c ON c.host_id = h.id GROUP BY h.id
"""
_STRANGERS = """
SELECT o.id, o.lease_owner, p.name, p.holder FROM operation o JOIN place p ON p.name = o.place
WHERE o.state IN ('running', 'unwinding') AND o.lease_owner NOT IN ('', 'lost', p.holder)
"""
_DRAINS = "SELECT id, args FROM operation WHERE kind = 'host.drain' AND state = 'done'"
_SLACK_SECONDS = 1.0
_LATE = (
    "double messages",
    "delay messages",
    "cut server from database",
    "database failover",
    "stop",
    "cut agent from hypervisor",
)
"""Faults under which an exchange may still be carried out long after its caller has given it up, or a process has given
up a step of a place that it holds again soon: the lease then runs out by itself."""
_LIVE = (
    "SELECT number, id, target_id, state, lease_epoch FROM operation WHERE state IN ('waiting', 'running', 'unwinding')"
)
_RUNNING_POWER = {
    VmState.ACTIVE: Power.ON,
    VmState.STOPPED: Power.OFF,
    VmState.PAUSED: Power.PAUSED,
    VmState.SUSPENDED: Power.SUSPENDED,
}
_AFTER = {
    "server.create": VmState.ACTIVE,
    "server.start": VmState.ACTIVE,
    "server.reboot": VmState.ACTIVE,
    "server.unpause": VmState.ACTIVE,
    "server.resume": VmState.ACTIVE,
    "server.stop": VmState.STOPPED,
    "server.pause": VmState.PAUSED,
    "server.suspend": VmState.SUSPENDED,
}


class Violated(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant
        self.what = what


class Watch:
    """Looks at everything, and keeps the first thing that is wrong."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.checked = 0
        self.violation: Violated | None = None
        self._raw = world.cluster.disk.raw
        self._seen_changes = -1
        self._counters: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._drained: set[str] = set()
        self._calls: dict[tuple[str, str], Any] = {}
        self._room = {
            name: (size.vcpus, size.memory_mib, size.disk_gib)
            for there in world.hypervisors.values()
            for size in (there.settings,)
            for name in world.hosts_of(there)
        }

    def fail(self, invariant: str, what: str) -> None:
        """Keep what is wrong; the history ends with it."""
        if self.violation is None:
            self.world.say("invariants", "VIOLATED %s: %s", invariant, what)
            self.violation = Violated(invariant, what)

    # After every transaction

    def after_commit(self, _who: str) -> None:
        """What the database says now."""
        changes = self._raw.total_changes
        if changes == self._seen_changes:
            return
        self._seen_changes = changes
        self._sums()
        self._operations()
        for subject, value in self._raw.execute("SELECT subject, value FROM change"):
            self._grows("change counter", subject, value)
        for place, epoch in self._raw.execute("SELECT name, epoch FROM place"):
            self._grows("hold", place, epoch)
        for id, owner, place, holder in self._raw.execute(_STRANGERS):
            self.fail("takeover", f"{owner} has a step of {id} at {place} leased, which {holder} holds")
        self._drains()
        self.checked += 7

    def _drains(self) -> None:
        for id, args in self._raw.execute(_DRAINS).fetchall():
            if id not in self._drained:
                self._drained.add(id)
                host = json.loads(args)["host"]
                left = self._raw.execute("SELECT id FROM server WHERE host = ? AND deleted_at IS NULL", (host,))
                for (server,) in left.fetchall():
                    self.fail("drained", f"the drain of {host} has ended, and {server} is there")

    def _grows(self, what: str, name: str, value: int) -> None:
        key = f"{what} {name}"
        if value < self._counters.get(key, 0):
            self.fail("counters", f"the {key} went from {self._counters[key]} back to {value}")
        self._counters[key] = value

    def _sums(self) -> None:
        for name, *numbers in self._raw.execute(_SUMS):
            if numbers[:4] != numbers[4:]:
                self.fail("sums", f"{name} says {numbers[:4]} (vCPUs, MiB, GiB, servers), its claims {numbers[4:]}")
            if any(used > room for used, room in zip(numbers, self._room[name], strict=False)):
                self.fail("capacity", f"{name} has given away {numbers[:3]} of {self._room[name]}")

    def _operations(self) -> None:
        under_way: dict[str, str] = {}
        waiting: list[tuple[str, str]] = []
        for number, id, target, state, epoch in self._raw.execute(_LIVE):
            self._grows("lease", id, epoch)
            if state == "waiting":
                waiting.append((id, target))
            elif target in under_way:
                self.fail("one operation", f"{under_way[target]} and {id} are both under way on {target}")
            else:
                under_way[target] = f"{id} (number {number})"
        for id, target in waiting:
            if target not in under_way and not self._stuck(target):
                self.fail("waiting", f"operation {id} waits on {target}, where none is under way")

    def _stuck(self, target: str) -> bool:
        found = self._raw.execute("SELECT 1 FROM operation WHERE target_id = ? AND state = 'stuck'", (target,))
        return found.fetchone() is not None

    # At every answer to an agent

    def beaten(self, owner: str, running: Collection[str], sent_at: datetime) -> None:
        """A beat was answered: the process's steps are safe in its hands, and nobody else has its places."""
        self.holders()
        least = int((sent_at.timestamp() + LEASE_SECONDS - _SLACK_SECONDS) * 1_000_000)
        for id in running:
            found = self._raw.execute(
                "SELECT lease_until FROM operation WHERE id = ? AND lease_owner = ?", (id, owner)
            ).fetchone()
            if found is not None and found[0] < least:
                late = (least - found[0]) / 1_000_000
                self.fail("leases", f"the lease of {id} in the hands of {owner} ends {late:.1f} seconds too early")

    def owned(self, owner: str) -> dict[str, int]:
        """The operations whose steps a process has leased, with the leases' epochs."""
        return dict(self._raw.execute("SELECT id, lease_epoch FROM operation WHERE lease_owner = ?", (owner,)))

    def exchanged(self, owner: str, before: Mapping[str, int], known: Collection[str]) -> None:
        """An exchange was answered. `before`: what was leased when it was sent; `known`: what the process knows of."""
        self.checked += 1
        after = self.owned(owner)
        forgotten = sorted(id for id, epoch in before.items() if after.get(id) == epoch and id not in known)
        if forgotten and not any(fault.kind in _LATE for fault in self.world.plan.faults):
            self.fail("handed over", f"{owner} has leased {forgotten}, and does not know it")

    # At every change of a hypervisor

    def began(self, place: str, subject: str, task: Any) -> None:
        """A call that changes something sets out. Images may be asked for by several at once."""
        if subject in self.world.images:
            return
        other = self._calls.get((place, subject))
        if other is not None and other.process.alive and not other.process.paused and not other.ended:
            self.fail("one caller", f"{other.process.name} and {task.process.name} both change {subject} at {place}")
        self._calls[place, subject] = task

    def ended(self, place: str, subject: str, task: Any) -> None:
        """It has come back."""
        if self._calls.get((place, subject)) is task:
            del self._calls[place, subject]

    def effect(self, effect: Effect) -> None:
        """Something has just been changed."""
        self.checked += 3
        row = self._raw.execute("SELECT epoch FROM place WHERE name = ?", (effect.place,)).fetchone()
        if row is not None and row[0] > effect.epoch:
            self.fail(
                "fencing",
                f"{effect.process} did {effect.call} {effect.subject} at {effect.place} under hold {effect.epoch}, "
                f"when hold {row[0]} had begun",
            )
        self._lease(effect)
        self.guests()

    def _lease(self, effect: Effect) -> None:
        if not effect.operation_id:
            return
        found = self._raw.execute(
            "SELECT lease_owner, lease_epoch FROM operation WHERE id = ?", (effect.operation_id,)
        ).fetchone()
        if found is None or found[1] == effect.lease_epoch:
            return
        owner, epoch = found
        if owner != effect.lease_owner and epoch > effect.lease_epoch:
            self.fail(
                "fencing",
                f"{effect.process} did {effect.call} {effect.subject} at {effect.place} under lease "
                f"{effect.lease_epoch} of operation {effect.operation_id}, when lease {epoch} was {owner or 'free'}'s",
            )

    def guests(self) -> None:
        """Over all hosts."""
        seen: dict[str, str] = {}
        for there in self.world.hypervisors.values():
            if not there.on:
                continue
            for guest in there.estate.guests():
                if guest.power is Power.ON:
                    if guest.server_id in seen:
                        self.fail(
                            "one guest", f"{guest.server_id} runs at {seen[guest.server_id]} and at {there.place}"
                        )
                    seen[guest.server_id] = there.place

    def holders(self) -> None:
        """By the agents' own clocks."""
        self.checked += 1
        holders: dict[str, str] = {}
        for agent in self.world.agents:
            if not agent.process.alive or agent.station is None:
                continue
            for place in agent.station.holds.active():
                if place in holders and self.world.fences:
                    self.fail("one holder", f"{holders[place]} and {agent.name} both hold {place}")
                holders[place] = agent.name

    # Once all is quiet

    def unfinished(self) -> int:
        """How many operations have not ended."""
        words = ", ".join(f"'{state}'" for state in (*UNFINISHED, OperationState.STUCK))
        row = self._raw.execute(f"SELECT COUNT(*) FROM operation WHERE state IN ({words})").fetchone()
        return int(row[0])

    def in_the_end(self) -> list[Violated]:
        """All that is wrong once nothing is under way any more."""
        with self.world.cluster.disk.begun().begin():
            store = Store(self.world.cluster.disk.connection, self.world.no_signals)
            servers = store.server.list(filter=ServerFilter(deleted=None))
            operations = store.operation.list(limit=10_000)
            claims = {claim.server_id: claim.host for claim in store.host.claims()}
            hosts = {host.name: host for host in store.host.list()}
            images = store.image.ids()
        self.checked += 9
        found = [*self._ended(operations), *self._surprises()]
        found += [wrong for each in operations for wrong in (*_journal(each), *_elsewhere(each))]
        by_target: dict[str, list[Operation]] = {}
        for operation in reversed(operations):
            by_target.setdefault(operation.target_id, []).append(operation)
        for server in servers:
            found += self._server(server, by_target.get(server.id, []))
        found += self._asked({server.id: server for server in servers})
        found += self._guests(servers)
        found += self._disks(servers)
        held = {server.id: server.host for server in servers if server.deleted_at is None and server.host is not None}
        if held != claims:
            found.append(Violated("claims", f"servers are on {held}, and claims say {claims}"))
        for name, host in hosts.items():
            if host.report.cached_images - images:
                found.append(Violated("images", f"{name} keeps copies of {sorted(host.report.cached_images - images)}"))
            if host.state != "up" and not host.forced_down:
                found.append(Violated("known", f"{name} is {host.state}: {host.state_reason}"))
        for there in self.world.hypervisors.values():
            for name in self.world.hosts_of(there):
                if there.estate.images(name) - images:
                    found.append(Violated("images", f"{name} keeps {sorted(there.estate.images(name) - images)}"))
        return found

    def _ended(self, operations: list[Operation]) -> list[Violated]:
        live = (*UNFINISHED, OperationState.STUCK)
        return [
            Violated(
                "ends", f"{each.kind} {each.id} on {each.target_id} is {each.state} at step {each.step}: {each.error}"
            )
            for each in operations
            if each.state in live
        ]

    def _surprises(self) -> list[Violated]:
        died = [f"thread {thread} of {process} died: {error!r}" for process, thread, error in self.world.hub.died]
        return [Violated("surprise", what) for what in (*died, *self.world.surprises)]

    def _server(self, server: Server, operations: list[Operation]) -> list[Violated]:
        if server.deleted_at is not None:
            return []
        found = []
        if server.task_state is not None:
            found.append(Violated("as asked", f"{server.id} is still {server.task_state}"))
        if server.vm_state is VmState.ERROR:
            if server.fault is None or not server.fault.message:
                found.append(Violated("as asked", f"{server.id} is in ERROR without a reason"))
        elif server.vm_state not in _RUNNING_POWER:
            found.append(Violated("as asked", f"{server.id} is {server.vm_state}"))
        elif server.id not in self.world.touched() and operations:
            last = next((each for each in reversed(operations) if each.state is OperationState.DONE), None)
            wanted = _AFTER.get(last.kind) if last is not None and last is operations[-1] else None
            if wanted is not None and server.vm_state is not wanted:
                found.append(Violated("as asked", f"{server.id} is {server.vm_state} after {operations[-1].kind}"))
        return found

    def _asked(self, servers: dict[str, Server]) -> list[Violated]:
        users = self.world.users
        found = [
            Violated("nothing lost", f"server {id} was answered with 202, and is not known")
            for id in users.servers
            if id not in servers
        ]
        for server in servers.values():
            if server.id in users.deleted and server.deleted_at is None and server.vm_state is not VmState.ERROR:
                found.append(Violated("nothing lost", f"the deletion of {server.id} was answered with 204"))
            if server.deleted_at is not None and server.id not in users.delete_asked:
                found.append(Violated("nothing lost", f"{server.id} was deleted, and nobody asked for it"))
        return found

    def _disks(self, servers: list[Server]) -> list[Violated]:
        storage = self.world.storage
        if storage is None:
            return []
        there = {server.id: server for server in servers if server.deleted_at is None}
        found = []
        for id, disk in storage.disks.items():
            server = there.get(id)
            if server is None:
                found.append(Violated("disks", f"{id} is no more, and its disks are still {disk.host}'s"))
            elif server.vm_state in _RUNNING_POWER and server.host != disk.host:
                found.append(Violated("disks", f"{id} is on {server.host}, and its disks are {disk.host}'s"))
        sharing = {name for place in ("kvm1", "kvm2") for name in self.world.host_names if name.startswith(place)}
        without = [
            server
            for server in there.values()
            if server.vm_state in _RUNNING_POWER and server.host in sharing and server.id not in storage.disks
        ]
        return found + [
            Violated("disks", f"{server.id} is {server.vm_state} on {server.host}, without disks") for server in without
        ]

    def _guests(self, servers: list[Server]) -> list[Violated]:
        found = []
        by_id = {server.id: server for server in servers}
        seen = set()
        for there in self.world.hypervisors.values():
            gone = [id for id in there.strangers if there.estate.get(id) is None]
            found += [Violated("strangers", f"{id} at {there.place} was removed, and nobody knows it") for id in gone]
            for guest in there.estate.guests():
                server = by_id.get(guest.server_id)
                if guest.server_id in there.strangers:
                    continue
                if server is None or server.deleted_at is not None or server.place != there.place:
                    where = "deleted" if server is None or server.deleted_at is not None else f"at {server.place}"
                    found.append(Violated("guests", f"{guest.server_id} has a guest at {there.place}, and is {where}"))
                    continue
                seen.add(guest.server_id)
                found += _as_recorded(server, guest.host, guest.power)
        for server in servers:
            if server.deleted_at is None and server.vm_state in _RUNNING_POWER and server.id not in seen:
                found.append(Violated("guests", f"{server.id} is {server.vm_state} on {server.host}, without a guest"))
        return found


def _as_recorded(server: Server, host: str, power: Power) -> list[Violated]:
    found = []
    if server.host != host:
        found.append(Violated("guests", f"the guest of {server.id} is on {host}, and the record says {server.host}"))
    wanted = _RUNNING_POWER.get(server.vm_state)
    if wanted is not None and power is not wanted:
        found.append(Violated("as asked", f"{server.id} is {server.vm_state}, and its guest is {power}"))
    return found


def _elsewhere(row: Operation) -> list[Violated]:
    """Whether an evacuation has left the host that it was to leave."""
    if row.kind != "server.evacuate":
        return []
    outputs = {entry.step: entry.output for entry in row.journal if entry.outcome == "done"}
    left = (outputs.get("leave") or {}).get("left", {}).get("host")
    arrived = (outputs.get("claim") or {}).get("host")
    if left is None or left != arrived:
        return []
    return [Violated("elsewhere", f"{row.id} takes {row.target_id} from {left} to {arrived}")]


def _journal(row: Operation) -> list[Violated]:
    """Whether the entries tell of steps done in order, and undone in reverse where the operation failed."""
    kind = KINDS[row.kind]
    index = {step.name: number for number, step in enumerate(kind.steps)}
    done: list[int] = []
    owed: int | None = None

    def wrong(what: str) -> list[Violated]:
        told = ", ".join(f"{entry.step} {entry.outcome}" for entry in row.journal)
        return [Violated("journal", f"{row.kind} {row.id} ({row.state}): {what}; its journal: {told}")]

    for entry in row.journal:
        number = index[entry.step]
        if entry.outcome == "done":
            if number == 0 and done:
                if any(kind.steps[each].undo_step for each in done):
                    return wrong("it began anew before it was unwound")
                done = []
            if owed is not None or number != len(done):
                return wrong(f"{entry.step} was not due")
            done.append(number)
        elif entry.outcome == "failed":
            owed = number if kind.steps[number].undo_step else None
        elif entry.outcome == "undone":
            if any(kind.steps[each].undo_step for each in done if each > number) or (
                owed is not None and owed > number
            ):
                return wrong(f"{entry.step} was undone out of turn")
            done = [each for each in done if each < number]
            owed = None
    if row.state is OperationState.DONE and done != list(range(len(kind.steps))):
        return wrong("not every step is done")
    if row.state is OperationState.FAILED and (owed is not None or any(kind.steps[each].undo_step for each in done)):
        return wrong("not everything is undone")
    return []
