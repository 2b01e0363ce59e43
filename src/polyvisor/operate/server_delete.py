"""Deletes a server: end its guest, give back what it holds, and mark the record."""

from polyvisor.model.order import ServerTarget
from polyvisor.model.power import Power
from polyvisor.model.record import Record
from polyvisor.model.server import Fault, VmState
from polyvisor.operate import server_ports
from polyvisor.operate.definition import Operation, Restart, Run, control, place_of

server_delete = Operation("server.delete", ServerTarget)


class Located(Record):
    """Where the guest is; `place` is control's own where there is none."""

    place: str
    exists: bool


@server_delete.step(at=control)
def locate(run: Run[ServerTarget]) -> Located:
    """Find where the server is now that all earlier operations have ended."""
    server = run.store.server.get(run.args.server_id, deleted=True)
    return Located(place=server.place or "control", exists=server.place is not None)


@server_delete.step(at=place_of(locate), patience_seconds=365 * 24 * 3600)
def destroy(run: Run[ServerTarget]) -> None:
    """End the guest and remove all that is its own. From here there is no way back, so there is no undo."""
    if run.of(locate).exists:
        run.driver.destroy(run.args.server_id)


@server_delete.step(at=control)
def finish(run: Run[ServerTarget]) -> None:
    """Give back its resources and its ports, and mark the record as deleted."""
    server = run.store.server.get(run.args.server_id, deleted=True)
    server_ports.give_up(run.store, server, [port.port_id for port in server.ports], run.now)
    released = run.store.host.release(run.args.server_id)
    if released is not None:
        run.tools.estate.claimed(run.store, released)
    run.store.server.change(
        run.args.server_id,
        vm_state=VmState.DELETED,
        task_state=None,
        power=Power.UNKNOWN,
        deleted_at=run.now,
        updated_at=run.now,
    )


@server_delete.unwound
def give_up(run: Run[ServerTarget]) -> Restart | None:
    """The hypervisor refused: the server stays, in ERROR, and may be deleted again."""
    message = f"The server could not be deleted: {run.row.error} Delete it again once that is mended."
    fault = Fault(code=500, message=message, created_at=run.now)
    run.store.server.change(
        run.args.server_id, vm_state=VmState.ERROR, task_state=None, fault=fault, updated_at=run.now
    )
    return None
