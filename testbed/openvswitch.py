"""An Open vSwitch of our own in a network namespace: its database and ovs-vswitchd, on the userspace datapath.

The machine's kernel need not know Open vSwitch. Several stand side by side, each in a namespace of its own.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from testbed import owned
from testbed.process import alive, program, wait_for

PREFIX = "pv-ovs-"
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 180.0
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_DAEMONS = ("ovsdb-server", "ovs-vswitchd")


class TestOpenvSwitch:
    """`with TestOpenvSwitch(namespace) as switch: switch.vsctl("add-br", "br-int", …)`. Needs root.

    `run` is its run directory: bound on /run/openvswitch it is the host's. What a killed owner left is removed by the
    next one. Raises TimeoutError, with its log, when it does not come up.
    """

    __test__ = False

    def __init__(self, namespace: str) -> None:
        for directory in owned.leftovers(PREFIX):
            _end(directory)
            shutil.rmtree(directory, ignore_errors=True)
        self.namespace = namespace
        self.directory = owned.make(PREFIX)
        self.run = self.directory / "run"
        self.run.mkdir()
        self.database = f"unix:{self.run}/db.sock"
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start both daemons, and return when a bridge can be made."""
        store = self.directory / "conf.db"
        subprocess.run(["ovsdb-tool", "create", store, SCHEMA], check=True, capture_output=True)
        self._spawn("ovsdb-server", f"--remote=p{self.database}", str(store))
        wait_for((self.run / "db.sock").exists, START_TIMEOUT_SECONDS, self.log)
        self.vsctl("--no-wait", "init")
        self._spawn("ovs-vswitchd", self.database)
        self.vsctl("--", "list", "Open_vSwitch")

    def stop(self) -> None:
        """End the daemons, and remove the directory. May be called twice."""
        _end(self.directory)
        for daemon in self._started:
            daemon.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def vsctl(self, *arguments: str) -> str:
        """What ovs-vsctl prints; it waits until ovs-vswitchd has done it. Raises CalledProcessError."""
        command = ["ovs-vsctl", f"--db={self.database}", f"--timeout={int(START_TIMEOUT_SECONDS)}", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def add_bridge(self, name: str) -> None:
        """A bridge on the userspace datapath."""
        self.vsctl("--may-exist", "add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev")

    def log(self) -> str:
        """The end of what the daemons wrote."""
        return "".join(file.read_text(errors="replace")[-2000:] for file in sorted(self.directory.glob("*.log")))

    def _spawn(self, daemon: str, *arguments: str) -> None:
        paths = [f"--pidfile={self.directory}/{daemon}.pid", f"--unixctl={self.run}/{daemon}.ctl"]
        command = ["ip", "netns", "exec", self.namespace, daemon, *paths, *arguments]
        environment = {**os.environ, "OVS_RUNDIR": str(self.run), "OVS_LOGDIR": str(self.directory)}
        with (self.directory / f"{daemon}.log").open("ab") as log:
            self._started.append(
                subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            )


def _end(directory: Path) -> None:
    """End the daemons that have noted their ids there, at once: all of it goes."""
    pids = []
    for daemon in _DAEMONS:
        with contextlib.suppress(OSError, ValueError):
            pid = int((directory / f"{daemon}.pid").read_text())
            if program(pid) == daemon:
                pids.append(pid)
                os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in pids), STOP_TIMEOUT_SECONDS, lambda: f"{pids} do not end")
