"""The power actions: start, stop, pause, unpause, suspend, resume, reboot, each locate → act → record."""

from collections.abc import Callable
from datetime import datetime

from polyvisor.hypervisor.driver import Driver
from polyvisor.model.errors import Conflict
from polyvisor.model.order import ServerReboot, ServerTarget
from polyvisor.model.power import Power
from polyvisor.model.record import Record
from polyvisor.model.server import TaskState, VmState
from polyvisor.operate.definition import Again, Operation, Restart, Run, control, place_of

SHUT_DOWN_SECONDS = 60
"""How long a guest may take to shut down when asked, before its power is cut."""


class Located(Record):
    """Where the server is."""

    place: str


def _located(run: Run[ServerTarget]) -> Located:
    server = run.store.server.get(run.args.server_id)
    if server.place is None:
        raise Conflict(f"Server {server.id} is on no host.")
    return Located(place=server.place)


def _give_up(run: Run[ServerTarget]) -> Restart | None:
    """Nothing has changed as far as anyone knows; the next inventory tells what is."""
    _end_of_task(run)
    return None


def _end_of_task(run: Run[ServerTarget] | Run[ServerReboot]) -> None:
    """The task is over; a deletion that was asked for meanwhile, and stopped this, is not."""
    server = run.store.server.find(run.args.server_id)
    if server is not None and server.task_state is not TaskState.DELETING:
        run.store.server.change(server.id, task_state=None, updated_at=run.now)


def _power_action(
    kind: str, wanted: Power, state: VmState, act: Callable[[Run[ServerTarget]], None]
) -> Operation[ServerTarget]:
    """An operation that acts until the guest's power is `wanted`, and then records `state`."""
    operation = Operation(kind, ServerTarget)

    @operation.step(at=control)
    def locate(run: Run[ServerTarget]) -> Located:
        return _located(run)

    @operation.step(at=place_of(locate), patience_seconds=300)
    def power(run: Run[ServerTarget]) -> str | Again:
        guest = run.driver.look(run.args.server_id)
        if guest is not None and guest.power is wanted:
            return guest.member
        act(run)
        guest = run.driver.look(run.args.server_id)
        return guest.member if guest is not None and guest.power is wanted else Again(seconds=1)

    @operation.step(at=control)
    def finish(run: Run[ServerTarget]) -> None:
        run.store.server.change(
            run.args.server_id,
            vm_state=state,
            power=wanted,
            task_state=None,
            member=run.of(power),
            fault=None,
            updated_at=run.now,
        )

    operation.unwound(_give_up)
    return operation


def _set(power: Power) -> Callable[[Run[ServerTarget]], None]:
    return lambda run: run.driver.set_power(run.args.server_id, power)


def _stop(run: Run[ServerTarget]) -> None:
    """Ask first; cut the power when the guest has not obeyed for a while."""
    since = run.row.since or run.now
    if (run.now - since).total_seconds() >= SHUT_DOWN_SECONDS:
        run.driver.set_power(run.args.server_id, Power.OFF)
    elif run.row.attempts <= 1 or int((run.now - since).total_seconds()) % 10 == 0:
        _ask_to_shut_down(run.driver, run.args.server_id)


def power_down(driver: Driver, server_id: str, now: datetime, since: datetime | None) -> Again | None:
    """Have a guest shut down, cut its power when it has not obeyed for a while; a guest that is not there is down."""
    guest = driver.look(server_id)
    if guest is None or guest.power is Power.OFF:
        return None
    waited = 0.0 if since is None else (now - since).total_seconds()
    if guest.power is not Power.ON or waited >= SHUT_DOWN_SECONDS:
        driver.set_power(server_id, Power.OFF)
    elif int(waited) % 10 < 2:
        driver.shut_down(server_id)
    guest = driver.look(server_id)
    return None if guest is None or guest.power is Power.OFF else Again(seconds=2)


def _ask_to_shut_down(driver: Driver, server_id: str) -> None:
    guest = driver.look(server_id)
    if guest is not None and guest.power is Power.ON:
        driver.shut_down(server_id)
    else:
        driver.set_power(server_id, Power.OFF)  # one that does not run cannot be asked


server_start = _power_action("server.start", Power.ON, VmState.ACTIVE, _set(Power.ON))
server_stop = _power_action("server.stop", Power.OFF, VmState.STOPPED, _stop)
server_pause = _power_action("server.pause", Power.PAUSED, VmState.PAUSED, _set(Power.PAUSED))
server_unpause = _power_action("server.unpause", Power.ON, VmState.ACTIVE, _set(Power.ON))
server_suspend = _power_action("server.suspend", Power.SUSPENDED, VmState.SUSPENDED, _set(Power.SUSPENDED))
server_resume = _power_action("server.resume", Power.ON, VmState.ACTIVE, _set(Power.ON))

server_reboot = Operation("server.reboot", ServerReboot)


@server_reboot.step(at=control)
def locate(run: Run[ServerReboot]) -> Located:
    """Where the server is."""
    server = run.store.server.get(run.args.server_id)
    if server.place is None:
        raise Conflict(f"Server {server.id} is on no host.")
    return Located(place=server.place)


@server_reboot.step(at=place_of(locate))
def reboot(run: Run[ServerReboot]) -> None:
    """Reboot once: softly where the guest runs and obeys, by cutting the power where asked to or where it is off."""
    guest = run.driver.look(run.args.server_id)
    if run.args.hard or guest is None or guest.power is not Power.ON:
        run.driver.reset(run.args.server_id)
    else:
        run.driver.restart(run.args.server_id)


@server_reboot.step(at=place_of(locate), patience_seconds=300)
def wait_for_power(run: Run[ServerReboot]) -> str | Again:
    """Until the guest has power again."""
    guest = run.driver.look(run.args.server_id)
    if guest is not None and guest.power is Power.ON:
        return guest.member
    if guest is not None and guest.power is Power.OFF:
        run.driver.set_power(run.args.server_id, Power.ON)
    return Again(seconds=1)


@server_reboot.step(at=control)
def finish(run: Run[ServerReboot]) -> None:
    """It runs."""
    run.store.server.change(
        run.args.server_id,
        vm_state=VmState.ACTIVE,
        power=Power.ON,
        task_state=None,
        member=run.of(wait_for_power),
        fault=None,
        updated_at=run.now,
    )


@server_reboot.unwound
def give_up(run: Run[ServerReboot]) -> Restart | None:
    """Nothing has changed as far as anyone knows."""
    _end_of_task(run)
    return None
