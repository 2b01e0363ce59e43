"""Brings a server up elsewhere when its host is down: on its own disks where others reach them, else from its image."""

import msgspec

from polyvisor.hypervisor.driver import with_shared_disks
from polyvisor.model.errors import Conflict, NoHost, NotFound
from polyvisor.model.host import Host, HostState
from polyvisor.model.migration import MigrationStatus, MigrationType
from polyvisor.model.operation import CONTROL
from polyvisor.model.order import ServerEvacuate
from polyvisor.model.place import PlaceRequest
from polyvisor.model.power import Power
from polyvisor.model.record import Record
from polyvisor.model.server import Fault, TaskState, VmState
from polyvisor.operate import relocate, server_ports
from polyvisor.operate.definition import Again, Operation, Restart, Run, control, place_of
from polyvisor.operate.guest import specification
from polyvisor.operate.relocate import Arriving, Left
from polyvisor.operate.server_power import power_down

server_evacuate = Operation("server.evacuate", ServerEvacuate)

ROOM_SECONDS = 15.0
"""How often an evacuation that waits for room asks for it again."""
_MONTH = 30 * 24 * 3600


class Leaving(Record):
    """Where the server leaves from; `place` is control's own where nobody answers there."""

    place: str
    left: Left


@server_evacuate.step(at=control)
def leave(run: Run[ServerEvacuate]) -> Leaving:
    """Look where the server is and what can be saved of it, and list the migration."""
    store, asked = run.store, run.args
    server = store.server.get(asked.server.id)
    if server.host is None or server.place is None:
        raise Conflict(f"Server {server.id} is on no host.")
    source = store.host.get(server.host)
    _check_needed(source, asked)
    keeps = bool(relocate.sharing_hosts(source, store.host.list()))
    left = Left(
        host=source.name,
        place=source.place,
        zone=source.zone,
        runs=server.vm_state in (VmState.ACTIVE, VmState.ERROR) and not asked.stay_stopped,
        keeps_disks=keeps,
        nics=server_ports.nics(store, server.ports, source),
    )
    relocate.record(store, run.row, server, left, MigrationType.EVACUATION, run.now)
    if not keeps:
        _check_can_be_made_anew(run, source)
    return Leaving(place=source.place if asked.leaving else CONTROL, left=left)


@server_evacuate.step(at=place_of(leave), patience_seconds=600)
def stop(run: Run[ServerEvacuate]) -> Again | None:
    """Shut the guest down where its host is up and is being emptied. A host that is down is not asked."""
    if not run.args.leaving:
        return None
    return power_down(run.driver, run.args.server.id, run.now, run.row.since)


@stop.undo
def start_again(run: Run[ServerEvacuate]) -> None:
    """Where it ran, it runs on."""
    if run.args.leaving and run.of(leave).left.runs and run.driver.look(run.args.server.id) is not None:
        run.driver.set_power(run.args.server.id, Power.ON)


@server_evacuate.step(at=control, patience_seconds=_MONTH)
def claim(run: Run[ServerEvacuate]) -> Arriving | Again:
    """Choose another host, and hold the server's resources there."""
    store, left = run.store, run.of(leave).left
    _check_needed(_source(run), run.args)
    try:
        return relocate.claim_elsewhere(store, run.tools, run.row, _request(run), left, run.now)
    except relocate.HostChanged:
        run.tools.estate.forget()
        return Again(0)
    except NoHost as error:
        if not run.args.waits:
            raise
        run.tools.estate.forget()
        return Again(ROOM_SECONDS, waits_for=error.sentence)


@claim.undo
def claim_back(run: Run[ServerEvacuate]) -> None:
    """Its resources are held where it was."""
    relocate.claim_back(run.store, run.tools, relocate.request_for(run.args.server), run.of(leave).left, run.now)


@server_evacuate.step(at=place_of(claim))
def prepare_image(run: Run[ServerEvacuate]) -> str:
    """Bring the image there, where the disks are made anew; returns the datastore it lies on."""
    image = run.args.server.image
    if run.of(leave).left.keeps_disks or image is None:
        return ""
    return run.driver.prepare_image(run.of(claim).host, image, run.source, run.progress)


@server_evacuate.step(at=place_of(claim))
def make(run: Run[ServerEvacuate]) -> None:
    """Make the guest, powered off: on the disks it had, or on new ones."""
    asked, arriving = run.args, run.of(claim)
    order = relocate.as_order(asked.server, asked.project_name, asked.admin_password)
    spec = specification(order, arriving.zone, arriving.nics)
    if run.of(leave).left.keeps_disks:
        with_shared_disks(run.driver).take_over(arriving.host, spec, run.source, run.progress)
        return
    guest = run.driver.look(asked.server.id)
    if guest is not None and guest.host != arriving.host:
        run.driver.destroy(asked.server.id)  # both hosts are behind one connection, which knows one guest by this id
    run.driver.create(arriving.host, run.of(prepare_image), spec, run.source, run.progress)


@make.undo
def unmake(run: Run[ServerEvacuate]) -> None:
    """Remove the guest, but not the disks that it had before."""
    left = run.of(leave).left
    if left.keeps_disks:
        with_shared_disks(run.driver).let_go(run.args.server.id, left.host)
    else:
        run.driver.destroy(run.args.server.id)


@server_evacuate.step(at=control)
def confirm(run: Run[ServerEvacuate]) -> None:
    """The last look before it is started: did its host come back meanwhile, the server stays there. Else its ports
    are plugged where it goes, and no more where it was."""
    _check_needed(_source(run), run.args)
    relocate.plug(run.store, run.args.server.id, run.of(claim).host, run.now)


@confirm.undo
def plug_back(run: Run[ServerEvacuate]) -> None:
    """Its ports are plugged where it was."""
    relocate.plug(run.store, run.args.server.id, run.of(leave).left.host, run.now)


@server_evacuate.step(at=place_of(claim), patience_seconds=300)
def boot(run: Run[ServerEvacuate]) -> str | Again:
    """Start it where it ran before; returns the member host it runs on."""
    guest = run.driver.look(run.args.server.id)
    if guest is not None and (guest.power is Power.ON or not run.of(leave).left.runs):
        return guest.member
    run.driver.set_power(run.args.server.id, Power.ON)
    guest = run.driver.look(run.args.server.id)
    return guest.member if guest is not None and guest.power is Power.ON else Again(seconds=1)


@server_evacuate.step(at=control)
def finish(run: Run[ServerEvacuate]) -> None:
    """It is as it was, elsewhere."""
    runs = run.of(leave).left.runs
    run.store.server.change(
        run.args.server.id,
        vm_state=VmState.ACTIVE if runs else VmState.STOPPED,
        task_state=None,
        power=Power.ON if runs else Power.OFF,
        member=run.of(boot),
        fault=None,
        launched_at=run.now,
        updated_at=run.now,
    )
    run.store.migration.change(run.row.id, status=MigrationStatus.DONE, updated_at=run.now)
    _wipe_password(run)


@server_evacuate.unwound
def give_up(run: Run[ServerEvacuate]) -> Restart | None:
    """Try another host; or say in the server's fault why it could not be saved."""
    store = run.store
    server = store.server.find(run.args.server.id)
    needed = server is not None and not run.row.cancelled and _still_needed(run)
    if needed and run.row.tries + 1 < run.tools.estate.settings.max_attempts and _failed_at_a_host(run):
        return Restart()
    status = MigrationStatus.FAILED if needed else MigrationStatus.CANCELLED
    store.migration.change(run.row.id, status=status, updated_at=run.now)
    if server is not None and server.task_state is TaskState.REBUILDING:
        store.server.change(server.id, task_state=None, updated_at=run.now)
    if needed and not run.args.leaving:
        fault = Fault(code=500, message=run.row.error, details=_details(run), created_at=run.now)
        store.server.change(run.args.server.id, vm_state=VmState.ERROR, power=Power.UNKNOWN, fault=fault)
    _wipe_password(run)
    return None


def _request(run: Run[ServerEvacuate]) -> PlaceRequest:
    tried = frozenset(entry.output["host"] for entry in run.row.journal if entry.step == "claim" and entry.output)
    asked = run.args
    return msgspec.structs.replace(relocate.request_for(asked.server), host=asked.host, force=asked.force, avoid=tried)


def _source(run: Run[ServerEvacuate]) -> Host | None:
    try:
        return run.store.host.get(run.of(leave).left.host)
    except NotFound:
        return None


def _check_needed(source: Host | None, asked: ServerEvacuate) -> None:
    """Raise Conflict where the host answers again: what runs there must not run twice."""
    if source is not None and source.state is HostState.UP and not asked.leaving:
        raise Conflict(f"Host {source.name} is up again: the server stays there.")


def _still_needed(run: Run[ServerEvacuate]) -> bool:
    if not run.has(leave) and "leave" not in (entry.step for entry in run.row.journal if entry.outcome == "done"):
        server = run.store.server.get(run.args.server.id)
        return server.host is None or run.store.host.get(server.host).state is not HostState.UP
    source = _source(run)
    return run.args.leaving or source is None or source.state is not HostState.UP


def _check_can_be_made_anew(run: Run[ServerEvacuate], source: Host) -> None:
    if not run.args.may_rebuild:
        raise Conflict(
            f"The disks of this server are on {source.name} alone, and making them anew would lose what is on them. "
            f"Bring {source.name} back, or evacuate the server by hand."
        )
    if not relocate.image_is_there(run.store, run.args.server):
        raise Conflict(
            f"The disks of this server are on {source.name} alone, and the image it was made from is no more: "
            f"nothing is left to make it from. Bring {source.name} back."
        )


def _failed_at_a_host(run: Run[ServerEvacuate]) -> bool:
    last = next((entry for entry in reversed(run.row.journal) if entry.outcome == "failed"), None)
    return last is not None and last.place != CONTROL


def _details(run: Run[ServerEvacuate]) -> str:
    failures = [entry for entry in run.row.journal if entry.outcome == "failed"]
    return "\n".join(entry.details or f"{entry.place}: {entry.error}" for entry in failures)


def _wipe_password(run: Run[ServerEvacuate]) -> None:
    if run.args.admin_password:
        wiped = msgspec.structs.replace(run.args, admin_password="")
        run.store.operation.set_args(run.row.id, msgspec.to_builtins(wiped))
