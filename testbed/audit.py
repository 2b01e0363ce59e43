"""The books of a cloud, compared: what was answered, what is recorded, and what the hypervisors really hold.

Once a cloud is at rest, `judge` says in sentences what does not agree: a request that was answered and is lost, a
server that is there twice, a guest, disk or claim that belongs to nobody. No sentence: all is well.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

_SERVERS = (
    "SELECT id, name, vm_state, task_state, place, host, fault FROM server WHERE deleted_at IS NULL ORDER BY name, id"
)
_CLAIMS = (
    "SELECT claim.server_id, host.name, claim.vcpus, claim.memory_mib, claim.disk_gib "
    "FROM claim JOIN host ON host.id = claim.host_id ORDER BY claim.server_id"
)
_HOSTS = "SELECT name, used_vcpus, used_memory_mib, used_disk_gib, servers FROM host ORDER BY name"
_OPERATIONS = (
    "SELECT id, kind, target_id, state, place FROM operation "
    "WHERE state IN ('waiting', 'running', 'unwinding', 'stuck') ORDER BY number"
)
_AT_REST = ("active", "error", "stopped")


@dataclass
class Ledger:
    """What those who used the cloud were told. Names are never used twice."""

    created: dict[str, str] = field(default_factory=dict)
    """Server id → name, of every create that was answered with success."""
    unanswered: set[str] = field(default_factory=set)
    """Names of creates that ended in no answer: such a server may be there, once."""
    deleted: set[str] = field(default_factory=set)
    """Ids of every delete that was answered with success."""
    undecided: set[str] = field(default_factory=set)
    """Ids of deletes that ended in no answer: such a server may be there."""


@dataclass(frozen=True)
class Server:
    """A server's record."""

    id: str
    name: str
    vm_state: str
    task_state: str | None
    place: str | None
    host: str | None
    fault: str
    """The sentence; empty = none."""


@dataclass(frozen=True)
class Records:
    """What the database says."""

    servers: tuple[Server, ...]
    claims: dict[str, str]
    """Server id → host."""
    operations: tuple[str, ...]
    """A sentence for each operation that has not ended, or is stuck."""
    miscounted: tuple[str, ...]
    """A sentence for each host whose used resources are not the sum of its claims."""


@dataclass(frozen=True)
class Look:
    """What a hypervisor really holds of one kind of thing: one of it for each server that runs there."""

    place: str
    """The hypervisor connection that it was found behind."""
    what: str
    """"guest", "process" or "disk"."""
    server_ids: tuple[str, ...]
    """Whose they are, one entry for each thing."""


def read(url: str) -> Records:
    """The records of a database, as one moment has them; `url` in SQLAlchemy's form."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            servers = tuple(
                Server(id, name, vm_state, task_state, place, host, json.loads(fault)["message"] if fault else "")
                for id, name, vm_state, task_state, place, host, fault in connection.execute(text(_SERVERS))
            )
            claims = connection.execute(text(_CLAIMS)).all()
            hosts = connection.execute(text(_HOSTS)).all()
            operations = connection.execute(text(_OPERATIONS)).all()
    finally:
        engine.dispose()
    sums: dict[str, Counter[int]] = {}
    for _, host, *amounts in claims:
        sums.setdefault(host, Counter()).update(dict(enumerate((*amounts, 1))))
    miscounted = [
        f"host {name} counts {tuple(used)} as used, and its claims are {held}"
        for name, *used in hosts
        if tuple(used) != (held := tuple(sums.get(name, Counter())[number] for number in range(4)))
    ]
    return Records(
        servers=servers,
        claims={server_id: host for server_id, host, *_ in claims},
        operations=tuple(
            f"operation {id} ({kind} of {target}) is {state} at {place or 'nowhere'}"
            for id, kind, target, state, place in operations
        ),
        miscounted=tuple(miscounted),
    )


def judge(ledger: Ledger, records: Records, looks: Iterable[Look]) -> list[str]:
    """Everything that does not agree, a sentence each; empty when the cloud is at rest and all its books are right."""
    return [
        *records.operations,
        *_answers(ledger, records),
        *_states(records),
        *_claims(records),
        *records.miscounted,
        *_held(records, looks),
    ]


def doubled(sentences: Iterable[str]) -> int:
    """How many of `judge`'s sentences tell of something that is there twice."""
    return sum(sentence.startswith("doubled: ") for sentence in sentences)


def lost(sentences: Iterable[str]) -> int:
    """How many of them tell of something that was promised and is not there."""
    return sum(sentence.startswith("lost: ") for sentence in sentences)


def orphans(sentences: Iterable[str]) -> int:
    """How many of them tell of something that belongs to nobody."""
    return sum(sentence.startswith("orphan: ") for sentence in sentences)


def _answers(ledger: Ledger, records: Records) -> Iterable[str]:
    """Every answer was kept."""
    present = {server.id: server for server in records.servers}
    for id, name in sorted(ledger.created.items(), key=lambda item: item[1]):
        if id not in present and id not in ledger.deleted | ledger.undecided:
            yield f"lost: server {name} ({id}) was answered with success, and is gone"
    for id in sorted(ledger.deleted & present.keys()):
        yield f"lost: the delete of server {present[id].name} ({id}) was answered with success, and it is there"
    for name, count in sorted(Counter(server.name for server in records.servers).items()):
        if count > 1:
            yield f"doubled: there are {count} servers named {name}"
    for server in records.servers:
        if server.id not in ledger.created and server.name not in ledger.unanswered:
            yield f"orphan: nobody asked for server {server.name} ({server.id})"


def _states(records: Records) -> Iterable[str]:
    """Every server is as asked, or in ERROR with a reason."""
    for server in records.servers:
        if server.vm_state not in _AT_REST or server.task_state:
            task = f", {server.task_state}" if server.task_state else ""
            yield f"lost: server {server.name} ({server.id}) is left {server.vm_state}{task}"
        if server.vm_state == "error" and not server.fault:
            yield f"lost: server {server.name} ({server.id}) is in ERROR, and no reason is given"


def _claims(records: Records) -> Iterable[str]:
    """Each server holds what it uses, and nobody else holds anything."""
    hosts = {server.id: server.host for server in records.servers}
    for id, host in sorted(records.claims.items()):
        if id not in hosts:
            yield f"orphan: a claim on {host} is held for {id}, which is no server"
        elif hosts[id] != host:
            yield f"orphan: a claim on {host} is held for server {id}, which is on {hosts[id]}"
    for id in sorted(id for id, host in hosts.items() if host and id not in records.claims):
        yield f"lost: server {id} is on {hosts[id]}, and holds no claim"


def _held(records: Records, looks: Iterable[Look]) -> Iterable[str]:
    """Each server that runs has one of everything, where its record says; nobody else has anything."""
    servers = {server.id: server for server in records.servers}
    for look in looks:
        counted = Counter(look.server_ids)
        for id, count in sorted(counted.items()):
            server = servers.get(id)
            if server is None or server.place != look.place:
                whose = "which is no server" if server is None else f"which is at {server.place}"
                yield f"orphan: a {look.what} at {look.place} is that of {id}, {whose}"
            elif count > 1:
                yield f"doubled: server {server.name} ({id}) has {count} {look.what}s at {look.place}"
        for server in records.servers:
            if server.vm_state == "active" and server.place == look.place and server.id not in counted:
                yield f"lost: server {server.name} ({server.id}) is ACTIVE, and has no {look.what} at {look.place}"
