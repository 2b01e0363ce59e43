"""One-step answers that need the hypervisor: the console's log, and where the graphical console is."""

from polyvisor.hypervisor.driver import Console
from polyvisor.model.errors import Conflict
from polyvisor.model.order import ServerConsoleLog, ServerTarget
from polyvisor.operate.definition import Operation, Run, control, place_of
from polyvisor.operate.server_power import Located

server_console_log = Operation("server.console_log", ServerConsoleLog)
server_console = Operation("server.console", ServerTarget)


def _place(run: Run[ServerConsoleLog] | Run[ServerTarget]) -> Located:
    server = run.store.server.get(run.args.server_id)
    if server.place is None:
        raise Conflict("The server is on no host yet, so it has no console.")
    return Located(place=server.place)


@server_console_log.step(at=control)
def locate(run: Run[ServerConsoleLog]) -> Located:
    """Where the server is."""
    return _place(run)


@server_console_log.step(at=place_of(locate), patience_seconds=10)
def read(run: Run[ServerConsoleLog]) -> str:
    """The last lines of the log, as text."""
    text = run.driver.console_log(run.args.server_id).decode("utf-8", "replace")
    if run.args.length is None or run.args.length < 0:
        return text
    return "".join(text.splitlines(keepends=True)[-run.args.length :]) if run.args.length else ""


@server_console.step(at=control)
def find(run: Run[ServerTarget]) -> Located:
    """Where the server is."""
    return _place(run)


@server_console.step(at=place_of(find), patience_seconds=10)
def console(run: Run[ServerTarget]) -> Console:
    """Where the graphical console answers now."""
    return run.driver.console(run.args.server_id)
