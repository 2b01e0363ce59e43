"""Makes a server: choose a host, bring the image there, make the guest, boot it."""

import msgspec

from polyvisor.model.claim import Claim
from polyvisor.model.nic import Nic
from polyvisor.model.order import ServerCreate
from polyvisor.model.power import Power
from polyvisor.model.record import Record
from polyvisor.model.server import Fault, TaskState, VmState
from polyvisor.operate import server_ports
from polyvisor.operate.definition import Again, Operation, Restart, Run, control, place_of
from polyvisor.operate.guest import specification

server_create = Operation("server.create", ServerCreate)


class Claimed(Record):
    """Where the server goes."""

    host: str
    place: str
    zone: str
    nics: tuple[Nic, ...] = ()
    """Its ports, as they are plugged there."""


class Prepared(Record):
    """Where its image lies ready."""

    datastore: str


@server_create.step(at=control)
def claim(run: Run[ServerCreate]) -> Claimed | Again:
    """Choose a host, hold its resources under the server's id, and bind the server's ports to it."""
    server_id, ports, store = run.args.server.id, run.args.server.ports, run.store
    tried = run.args.request.avoid | _tried(run)
    request = msgspec.structs.replace(run.args.request, avoid=tried, networks=server_ports.needs(store, ports))
    _give_back(run)  # what an earlier run of this step holds must not stand in its own way
    plan = run.tools.estate.plan(store, request, run.tools.chance.getrandbits(32))
    wanted = Claim(
        server_id=server_id,
        host=plan.host,
        vcpus=request.vcpus,
        memory_mib=request.memory_mib,
        disk_gib=request.disk_gib,
    )
    if not store.host.claim(wanted, plan):
        run.tools.estate.forget()
        return Again(0)
    run.tools.estate.claimed(store, plan.host)
    host = store.host.get(plan.host)
    nics = server_ports.bind(store, ports, host, run.now)
    store.server.change(
        server_id,
        host=plan.host,
        place=plan.place,
        zone=host.zone,
        task_state=TaskState.SPAWNING,
        updated_at=run.now,
    )
    return Claimed(host=plan.host, place=plan.place, zone=host.zone, nics=nics)


@claim.undo
def release(run: Run[ServerCreate]) -> None:
    """Give the resources back. Its ports stay the server's, and are plugged nowhere."""
    _give_back(run)
    server_ports.unbind(run.store, run.args.server.ports, run.now)
    run.store.server.change(run.args.server.id, host=None, place=None, zone="", member="")


@server_create.step(at=place_of(claim))
def prepare_image(run: Run[ServerCreate]) -> Prepared:
    """Bring the image to the host in its hypervisor's form. Nothing to undo: a cached image serves the next server."""
    image = run.args.server.image
    if image is None:
        return Prepared(datastore="")
    return Prepared(datastore=run.driver.prepare_image(run.of(claim).host, image, run.source, run.progress))


@server_create.step(at=place_of(claim))
def make(run: Run[ServerCreate]) -> None:
    """Make the guest with its disks, powered off."""
    claimed = run.of(claim)
    spec = specification(run.args, claimed.zone, claimed.nics)
    run.driver.create(claimed.host, run.of(prepare_image).datastore, spec, run.source, run.progress)


@make.undo
def unmake(run: Run[ServerCreate]) -> None:
    """Remove the guest and all that is its own."""
    run.driver.destroy(run.args.server.id)


@server_create.step(at=place_of(claim), patience_seconds=300)
def boot(run: Run[ServerCreate]) -> str | Again:
    """Ask for power, then look again until the guest has it; returns the member host it runs on."""
    guest = run.driver.look(run.args.server.id)
    if guest is not None and guest.power is Power.ON:
        return guest.member
    run.driver.set_power(run.args.server.id, Power.ON)
    guest = run.driver.look(run.args.server.id)
    return guest.member if guest is not None and guest.power is Power.ON else Again(seconds=1)


@server_create.step(at=control)
def finish(run: Run[ServerCreate]) -> None:
    """The server is ACTIVE."""
    run.store.server.change(
        run.args.server.id,
        vm_state=VmState.ACTIVE,
        task_state=None,
        power=Power.ON,
        member=run.of(boot),
        progress=100,
        fault=None,
        launched_at=run.now,
        updated_at=run.now,
    )
    _wipe_password(run)


@server_create.unwound
def give_up(run: Run[ServerCreate]) -> Restart | None:
    """Try another host, or say in the server's fault why there is no server."""
    more = run.row.tries + 1 < run.tools.estate.settings.max_attempts
    if more and not run.row.cancelled and _failed_at_a_host(run):
        run.store.server.change(run.args.server.id, task_state=TaskState.SCHEDULING, updated_at=run.now)
        return Restart()
    server = run.store.server.find(run.args.server.id)
    if server is not None:
        fault = _fault(run)
        run.store.server.change(
            server.id, vm_state=VmState.ERROR, task_state=None, power=Power.UNKNOWN, fault=fault, updated_at=run.now
        )
    _wipe_password(run)
    return None


def _give_back(run: Run[ServerCreate]) -> None:
    released = run.store.host.release(run.args.server.id)
    if released is not None:
        run.tools.estate.claimed(run.store, released)


def _fault(run: Run[ServerCreate]) -> Fault:
    """The newest error for the user; all of them, with what is known of each, for the administrator."""
    failures = [entry for entry in run.row.journal if entry.outcome == "failed"]
    details = "\n".join(entry.details or f"{entry.place}: {entry.error}" for entry in failures)
    return Fault(code=500, message=run.row.error, details=details, created_at=run.now)


def _tried(run: Run[ServerCreate]) -> frozenset[str]:
    """Hosts on which an earlier round of this operation failed."""
    return frozenset(entry.output["host"] for entry in run.row.journal if entry.step == "claim" and entry.output)


def _failed_at_a_host(run: Run[ServerCreate]) -> bool:
    last = next((entry for entry in reversed(run.row.journal) if entry.outcome == "failed"), None)
    return last is not None and last.step != "claim"


def _wipe_password(run: Run[ServerCreate]) -> None:
    if run.args.admin_password:
        wiped = msgspec.structs.replace(run.args, admin_password="")
        run.store.operation.set_args(run.row.id, msgspec.to_builtins(wiped))
