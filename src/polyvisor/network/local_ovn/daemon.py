"""One daemon of OVN's or Open vSwitch's that outlives us: started, found again, and ended."""

import contextlib
import fcntl
import os
import shutil
import signal
import struct
import time
from pathlib import Path

from polyvisor.model.record import Record
from polyvisor.network.local_ovn.command import log_end, run
from polyvisor.network.local_ovn.trouble import Trouble

END_SECONDS = 20.0
LARGEST_LOG_BYTES = 10_000_000
_FLOCK = "hhqqi4x"
"""struct flock of Linux, 64 bits: type, whence, start, length, process id."""


class Daemon(Record):
    """How it is run. Its own process watches it and starts it again after a crash; a SIGKILL ends both."""

    name: str
    """Unique here, and the name of its log."""
    program: str
    arguments: tuple[str, ...]
    pid_file: Path
    log: Path
    run_directory: Path
    """Where its control socket is, named after its program and process id."""
    openvswitch_directory: Path
    """Where it finds the sockets of Open vSwitch's bridges."""


def pid(daemon: Daemon) -> int:
    """Its process id, 0 where it does not run.

    A daemon holds a lock on its pid file as long as it lives (ovs: lib/daemon-unix), so that an id which now is
    another's, or a file left by a crash, deceives nobody.
    """
    try:
        with daemon.pid_file.open("rb") as file:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, holder = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return 0
    return 0 if kind == fcntl.F_UNLCK else int(holder)


def start(daemon: Daemon) -> None:
    """Start it where it does not run; it answers by then. Raises Trouble with what it logged."""
    if pid(daemon):
        return
    for directory in (daemon.pid_file.parent, daemon.log.parent, daemon.run_directory):
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    _remove_stale_controls(daemon)
    run_directory, switches = str(daemon.run_directory), str(daemon.openvswitch_directory)
    ours = daemon.program == "ovn-controller"
    environment = {"OVN_RUNDIR": run_directory, "OVS_RUNDIR": switches if ours else run_directory}
    options = [f"--pidfile={daemon.pid_file}", f"--log-file={daemon.log}", "-vconsole:off", "-vsyslog:off"]
    try:
        run(daemon.program, "--detach", "--monitor", *options, *daemon.arguments, environment=environment)
    except Trouble as error:
        raise Trouble(f"{daemon.name} does not start: {log_end(daemon.log) or error} (see {daemon.log})") from None


def end(daemon: Daemon, *how: str) -> bool:
    """End it in good order, or else at once; `how` goes with its command `exit`. Whether it ran."""
    found = pid(daemon)
    if not found:
        return False
    with contextlib.suppress(Trouble):
        run("ovs-appctl", "--timeout=10", f"--target={control(daemon, found)}", "exit", *how)
    deadline = time.monotonic() + END_SECONDS
    while pid(daemon) == found:
        if time.monotonic() > deadline:
            # It holds the lock at this moment, so the id is its own.
            with contextlib.suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)
            deadline += END_SECONDS
        time.sleep(0.02)
    return True


def bound_log(daemon: Daemon, largest_bytes: int = LARGEST_LOG_BYTES) -> None:
    """Have its log begin anew where that has grown too large; what it held is kept as NAME.log.1.

    In its place, for the daemon and what watches it both have it open, and append to it. Raises OSError.
    """
    if daemon.log.exists() and daemon.log.stat().st_size > largest_bytes:
        shutil.copyfile(daemon.log, daemon.log.with_name(f"{daemon.log.name}.1"))
        os.truncate(daemon.log, 0)


def control(daemon: Daemon, pid: int) -> Path:
    """Its control socket, for ovs-appctl."""
    return daemon.run_directory / f"{daemon.program}.{pid}.ctl"


def _remove_stale_controls(daemon: Daemon) -> None:
    """Control sockets that killed daemons and boots of the machine have left: nobody else removes them."""
    for socket in daemon.run_directory.glob(f"{daemon.program}.*.ctl"):
        left_by = socket.name.split(".")[1]
        if left_by.isdecimal() and not Path(f"/proc/{left_by}").exists():
            socket.unlink(missing_ok=True)
