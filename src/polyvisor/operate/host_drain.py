"""Empties a host for maintenance: no new servers, and each server there is moved away as soon as there is room."""

import hashlib
from datetime import datetime

import msgspec

from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.host import Host, HostState, HypervisorType
from polyvisor.model.operation import UNFINISHED, OperationState
from polyvisor.model.operation import Operation as Row
from polyvisor.model.order import HostDrain, ServerEvacuate, ServerMove
from polyvisor.model.record import Record
from polyvisor.model.server import Server, TaskState, VmState
from polyvisor.operate import relocate
from polyvisor.operate.definition import Again, Operation, Run, control
from polyvisor.operate.unasked import begin_unasked
from polyvisor.store.store import Store

host_drain = Operation("host.drain", HostDrain)

AT_ONCE = 4
"""How many servers of one host are on their way at the same time."""
LOOK_SECONDS = 3.0
RETRY_SECONDS = 60
_YEAR = 365 * 24 * 3600
_MOVES = ("server.move", "server.evacuate")


def target(host: str) -> str:
    """What a drain works on: one host is drained once at a time."""
    return f"host:{hashlib.sha256(host.encode()).hexdigest()[:48]}"


class Begun(Record):
    """What there was to move when it began."""

    servers: int


class Drained(Record):
    """How it ended."""

    moved: int


class Way(Record):
    """What is to become of one server of a host that is drained."""

    server_id: str
    name: str
    kind: str
    """"move" (to another host, on its disks), "rebuild" (from its image), "moving" (it is on its way), "wait"."""
    why: str = ""
    """For "wait": what it waits for, in a sentence."""


def check_can_be_drained(host: Host) -> None:
    """Raise Conflict for a host whose servers are not for us to move."""
    if host.report.hypervisor_type is HypervisorType.VMWARE:
        raise Conflict(
            f"{host.name} is a vSphere cluster or ESXi host: put the ESXi host into maintenance mode in vCenter, where "
            f"DRS moves its guests to the others. To keep new servers away, disable it: `polyvisor host disable`."
        )


def ways(store: Store, host: Host, now: datetime, *, rebuild: bool) -> list[Way]:
    """What is to become of each server on the host, in order of their names. Three statements, and one per image."""
    hosts = store.host.list()
    shared = bool(relocate.sharing_hosts(host, hosts))
    servers = store.server.on_host(host.name)
    newest = {row.target_id: row for row in store.migration.newest_operations([server.id for server in servers])}
    return [_way(store, host, server, newest.get(server.id), shared, rebuild, now) for server in servers]


def _way(store: Store, host: Host, server: Server, row: Row | None, shared: bool, rebuild: bool, now: datetime) -> Way:
    way = Way(server_id=server.id, name=server.name, kind="wait")
    if row is not None and row.kind in _MOVES and row.state in UNFINISHED:
        return msgspec.structs.replace(way, kind="moving")
    why = _hindrance(host, server, row, shared, rebuild) or _failed_lately(row, now)
    if why:
        return msgspec.structs.replace(way, why=why)
    if not shared and not relocate.image_is_there(store, server):
        return msgspec.structs.replace(way, why="The image it was made from is no more, so it cannot be made anew.")
    return msgspec.structs.replace(way, kind="move" if shared else "rebuild")


def _hindrance(host: Host, server: Server, row: Row | None, shared: bool, rebuild: bool) -> str:
    """Why the server cannot be moved now; "" when it can, as far as can be said without asking the scheduler."""
    if host.state is not HostState.UP:
        return f"{host.name} is down: evacuate it instead (`polyvisor host evacuate {host.name}`)."
    if server.task_state is not None or (row is not None and row.state in UNFINISHED):
        return "Something is being done to it: it is moved when that has ended."
    if row is not None and row.state is OperationState.STUCK:
        return f"Its operation {row.id} is stuck: see `polyvisor operations show {row.id}`."
    if server.vm_state not in (VmState.ACTIVE, VmState.STOPPED):
        return f"It is {server.vm_state}: start it, or delete it."
    if not shared and not rebuild:
        return (
            "Its disks are on this host alone, and migration that copies disks is not there yet. Move what it holds by "
            "hand and delete it, or drain with --rebuild, which makes it anew from its image and loses its disks."
        )
    return ""


def _failed_lately(row: Row | None, now: datetime) -> str:
    """Why the last move failed, while it is too soon to try again."""
    if row is None or row.kind not in _MOVES or row.state is not OperationState.FAILED:
        return ""
    return row.error if (now - row.updated_at).total_seconds() < RETRY_SECONDS else ""


@host_drain.step(at=control)
def disable(run: Run[HostDrain]) -> Begun:
    """Keep new servers away."""
    host = run.store.host.get(run.args.host)
    check_can_be_drained(host)
    if host.enabled:
        reason = f"It is drained: {run.args.reason}" if run.args.reason else "It is drained."
        run.store.host.enable(host.name, False, reason[:255])
    return Begun(servers=len(run.store.server.on_host(host.name)))


@host_drain.step(at=control, patience_seconds=_YEAR)
def empty(run: Run[HostDrain]) -> Drained | Again:
    """Begin a few moves at a time, and look again, until no server is left."""
    try:
        host = run.store.host.get(run.args.host)
    except NotFound:
        return Drained(moved=run.of(disable).servers)
    found = ways(run.store, host, run.now, rebuild=run.args.rebuild)
    total = max(run.of(disable).servers, len(found))
    if not found:
        return Drained(moved=total)
    moving = sum(way.kind == "moving" for way in found)
    waiting = [way for way in found if way.kind == "wait"]
    for way in [way for way in found if way.kind in ("move", "rebuild")]:
        if moving < AT_ONCE:
            _begin(run, run.store.server.get(way.server_id), way.kind)
            moving += 1
    moved = total - len(found)
    return Again(LOOK_SECONDS, waits_for=_told(moved, total, moving, waiting), fraction=moved / total)


def _begin(run: Run[HostDrain], server: Server, kind: str) -> None:
    store = run.store
    project = store.project.find(server.project_id)
    name = project.name if project else ""
    order: ServerMove | ServerEvacuate = ServerMove(server=server, project_name=name)
    task = TaskState.MIGRATING
    if kind == "rebuild":
        order, task = ServerEvacuate(server=server, project_name=name, leaving=True), TaskState.REBUILDING
    id = run.tools.new_id()
    begin_unasked(
        store,
        id,
        "server.move" if kind == "move" else "server.evacuate",
        server.id,
        order,
        run.now,
        project_id=server.project_id,
        user_id=run.row.user_id,
    )
    store.server.change(server.id, task_state=task, updated_at=run.now)


def _told(moved: int, total: int, moving: int, waiting: list[Way]) -> str:
    said = f"{moved} of {total} servers have left"
    if moving:
        said += f", {moving} on their way"
    if waiting:
        said += f"; {len(waiting)} wait. {waiting[0].name}: {waiting[0].why}"
    return said if len(said) <= 255 else f"{said[:254]}…"
