"""Plugs a port into a server that is there already, and takes one out of it."""

from polyvisor.model.errors import Conflict
from polyvisor.model.nic import Nic
from polyvisor.model.operation import CONTROL
from polyvisor.model.order import ServerInterface
from polyvisor.model.record import Record
from polyvisor.operate import server_ports
from polyvisor.operate.definition import Again, Operation, Run, control, place_of

server_attach_interface = Operation("server.attach_interface", ServerInterface)
server_detach_interface = Operation("server.detach_interface", ServerInterface)

LET_GO_SECONDS = 60.0
"""How long a running guest has to let go of a card."""


class Socket(Record):
    """Where the card goes, or comes from; `place` is control's own where there is no guest."""

    place: str
    nic: Nic | None
    """None where its port was removed through the Networking API."""


@server_attach_interface.step(at=control)
def bind(run: Run[ServerInterface]) -> Socket:
    """Bind the port, which the request has made the server's own, to the server's host."""
    server = run.store.server.get(run.args.server_id)
    if server.host is None or server.place is None:
        raise Conflict(f"Instance {server.id} is on no host: no port can be plugged into it.")
    wanted = [port for port in server.ports if port.port_id == run.args.port_id]
    found = server_ports.bind(run.store, wanted, run.store.host.get(server.host), run.now)
    if not found:
        raise Conflict(f"Port {run.args.port_id} was removed before it was plugged in.")
    return Socket(place=server.place, nic=found[0])


@bind.undo
def give_back(run: Run[ServerInterface]) -> None:
    """The server does not have the port any more."""
    server = run.store.server.get(run.args.server_id, deleted=True)
    server_ports.give_up(run.store, server, [run.args.port_id], run.now)


@server_attach_interface.step(at=place_of(bind))
def plug(run: Run[ServerInterface]) -> None:
    """Plug the card in, at once where the guest runs."""
    nic = run.of(bind).nic
    if nic is not None:
        run.driver.attach_nic(run.args.server_id, nic)


@plug.undo
def unplug_again(run: Run[ServerInterface]) -> None:
    """Take it out. A guest that does not let go of it keeps a card without a port until it is started anew."""
    if run.driver.look(run.args.server_id) is not None:
        run.driver.detach_nic(run.args.server_id, run.args.port_id)


@server_attach_interface.step(at=control)
def finish_attach(run: Run[ServerInterface]) -> None:
    """The server has changed."""
    run.store.server.change(run.args.server_id, updated_at=run.now)


@server_detach_interface.step(at=control)
def find(run: Run[ServerInterface]) -> Socket:
    """Where the card is now that all earlier operations have ended."""
    server = run.store.server.get(run.args.server_id)
    wanted = [port for port in server.ports if port.port_id == run.args.port_id]
    if server.host is None or server.place is None:
        return Socket(place=CONTROL, nic=None)
    found = server_ports.nics(run.store, wanted, run.store.host.get(server.host))
    return Socket(place=server.place, nic=found[0] if found else None)


@server_detach_interface.step(at=place_of(find), patience_seconds=LET_GO_SECONDS)
def unplug(run: Run[ServerInterface]) -> Again | None:
    """Take the card out, and look again until a running guest has let go of it."""
    if run.of(find).place == CONTROL or run.driver.detach_nic(run.args.server_id, run.args.port_id):
        return None
    return Again(seconds=1)


@unplug.undo
def plug_again(run: Run[ServerInterface]) -> None:
    """The guest has the card as before."""
    found = run.of(find)
    if found.nic is not None and run.driver.look(run.args.server_id) is not None:
        run.driver.attach_nic(run.args.server_id, found.nic)


@server_detach_interface.step(at=control)
def finish_detach(run: Run[ServerInterface]) -> None:
    """The port goes where it was made for the server, and is free where it was given."""
    server = run.store.server.get(run.args.server_id, deleted=True)
    server_ports.give_up(run.store, server, [run.args.port_id], run.now)
    run.store.server.change(run.args.server_id, updated_at=run.now)
