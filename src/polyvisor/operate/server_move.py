"""Moves a server to another host that reaches its disks: shut down, boot there, start where it ran (a cold move)."""

from collections.abc import Sequence

import msgspec

from polyvisor.hypervisor.driver import GuestSpec, with_shared_disks
from polyvisor.model.errors import Conflict
from polyvisor.model.migration import MigrationStatus, MigrationType
from polyvisor.model.nic import Nic
from polyvisor.model.operation import CONTROL
from polyvisor.model.order import ServerMove
from polyvisor.model.power import Power
from polyvisor.model.server import TaskState, VmState
from polyvisor.operate import relocate, server_ports
from polyvisor.operate.definition import Again, Operation, Restart, Run, control, place_of
from polyvisor.operate.guest import specification
from polyvisor.operate.relocate import Arriving, Left
from polyvisor.operate.server_power import power_down

server_move = Operation("server.move", ServerMove)


@server_move.step(at=control)
def leave(run: Run[ServerMove]) -> Left:
    """Look where the server is, and list the migration."""
    store = run.store
    server = store.server.get(run.args.server.id)
    if server.host is None or server.place is None:
        raise Conflict(f"Server {server.id} is on no host.")
    if server.vm_state not in (VmState.ACTIVE, VmState.STOPPED):
        raise Conflict(f"Server {server.id} is {server.vm_state}: only one that is active or stopped can be moved.")
    source = store.host.get(server.host)
    left = Left(
        host=source.name,
        place=source.place,
        zone=source.zone,
        runs=server.vm_state is VmState.ACTIVE,
        keeps_disks=True,
        nics=server_ports.nics(store, server.ports, source),
    )
    relocate.record(store, run.row, server, left, MigrationType.MIGRATION, run.now)
    store.server.change(server.id, task_state=TaskState.MIGRATING, updated_at=run.now)
    return left


@server_move.step(at=control)
def claim(run: Run[ServerMove]) -> Arriving | Again:
    """Choose another host before anything is stopped: without room elsewhere the server runs on."""
    request = msgspec.structs.replace(relocate.request_for(run.args.server), host=run.args.host, avoid=_tried(run))
    try:
        return relocate.claim_elsewhere(run.store, run.tools, run.row, request, run.of(leave), run.now)
    except relocate.HostChanged:
        run.tools.estate.forget()
        return Again(0)


@claim.undo
def claim_back(run: Run[ServerMove]) -> None:
    """Its resources are held where it was."""
    relocate.claim_back(run.store, run.tools, relocate.request_for(run.args.server), run.of(leave), run.now)


@server_move.step(at=place_of(leave), patience_seconds=600)
def stop(run: Run[ServerMove]) -> Again | None:
    """Shut it down where it is."""
    return power_down(run.driver, run.args.server.id, run.now, run.row.since)


@stop.undo
def start_again(run: Run[ServerMove]) -> None:
    """Where it ran, it runs on."""
    if run.of(leave).runs and run.driver.look(run.args.server.id) is not None:
        run.driver.set_power(run.args.server.id, Power.ON)


@server_move.step(at=place_of(leave))
def let_go(run: Run[ServerMove]) -> None:
    """Its old host forgets it; the disks stay, and are the new host's."""
    with_shared_disks(run.driver).let_go(run.args.server.id, run.of(claim).host)


@let_go.undo
def take_back(run: Run[ServerMove]) -> None:
    """The old host has it again."""
    left = run.of(leave)
    spec = _specification(run, left.zone, left.nics)
    with_shared_disks(run.driver).take_over(left.host, spec, run.source, run.progress)


@server_move.step(at=control)
def plug(run: Run[ServerMove]) -> None:
    """Its ports are plugged where it goes, and no more where it was: not sooner, for it ran there until now."""
    relocate.plug(run.store, run.args.server.id, run.of(claim).host, run.now)


@plug.undo
def plug_back(run: Run[ServerMove]) -> None:
    """Its ports are plugged where it was."""
    relocate.plug(run.store, run.args.server.id, run.of(leave).host, run.now)


@server_move.step(at=place_of(claim))
def take_over(run: Run[ServerMove]) -> None:
    """Make the guest on its disks, powered off."""
    arriving = run.of(claim)
    spec = _specification(run, arriving.zone, arriving.nics)
    with_shared_disks(run.driver).take_over(arriving.host, spec, run.source, run.progress)


@take_over.undo
def give_back(run: Run[ServerMove]) -> None:
    """The new host forgets it; the disks are the old one's again."""
    with_shared_disks(run.driver).let_go(run.args.server.id, run.of(leave).host)


@server_move.step(at=place_of(claim), patience_seconds=300)
def boot(run: Run[ServerMove]) -> str | Again:
    """Start it where it ran before; returns the member host it runs on."""
    guest = run.driver.look(run.args.server.id)
    if guest is not None and (guest.power is Power.ON or not run.of(leave).runs):
        return guest.member
    run.driver.set_power(run.args.server.id, Power.ON)
    guest = run.driver.look(run.args.server.id)
    return guest.member if guest is not None and guest.power is Power.ON else Again(seconds=1)


@server_move.step(at=control)
def finish(run: Run[ServerMove]) -> None:
    """It is as it was, elsewhere, and nothing of it is left where it was."""
    runs = run.of(leave).runs
    run.store.server.change(
        run.args.server.id,
        vm_state=VmState.ACTIVE if runs else VmState.STOPPED,
        task_state=None,
        power=Power.ON if runs else Power.OFF,
        member=run.of(boot),
        updated_at=run.now,
    )
    run.store.migration.change(run.row.id, status=MigrationStatus.COMPLETED, updated_at=run.now)


@server_move.unwound
def give_up(run: Run[ServerMove]) -> Restart | None:
    """Try another host, or leave it where it was, as it was."""
    server = run.store.server.find(run.args.server.id)
    last = next((entry for entry in reversed(run.row.journal) if entry.outcome == "failed"), None)
    more = run.row.tries + 1 < run.tools.estate.settings.max_attempts
    if server is not None and not run.row.cancelled and more and last is not None and last.place != CONTROL:
        return Restart()
    status = MigrationStatus.CANCELLED if run.row.cancelled or server is None else MigrationStatus.FAILED
    run.store.migration.change(run.row.id, status=status, updated_at=run.now)
    if server is not None and server.task_state is TaskState.MIGRATING:
        run.store.server.change(server.id, task_state=None, updated_at=run.now)
    return None


def _specification(run: Run[ServerMove], zone: str, nics: Sequence[Nic]) -> GuestSpec:
    return specification(relocate.as_order(run.args.server, run.args.project_name), zone, nics)


def _tried(run: Run[ServerMove]) -> frozenset[str]:
    """Hosts on which an earlier round of this operation failed."""
    return frozenset(entry.output["host"] for entry in run.row.journal if entry.step == "claim" and entry.output)
