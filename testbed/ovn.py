"""OVN of our own: its databases and northd, and chassis in network namespaces, on the userspace datapath."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from testbed import owned
from testbed.netns import Network
from testbed.ovn_chassis import PHYSICAL, TestChassis
from testbed.ovn_guest import TestGuest, run
from testbed.process import alive, wait_for

PREFIX = "pv-ovn-"
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 180.0
MISSING = "OVN is missing: install what setup/packages/ovn.txt names (setup/system-packages does)."
ROOTS = (*("Port_Group", "Address_Set", "DHCP_Options", "DNS", "Load_Balancer", "HA_Chassis_Group"),)
SCHEMAS = {"nb": "/usr/share/ovn/ovn-nb.ovsschema", "sb": "/usr/share/ovn/ovn-sb.ovsschema"}


class TestOvn:
    """OVN from `with` to the end of the block: `with TestOvn(chassis=2) as ovn: ovn.nbctl("show")`.

    Nothing of it is the machine's: sockets, files and processes are in `directory`, switches in namespaces, and all of
    it goes with the block; what a killed owner left is removed by the next one. Needs root, and the packages of
    setup/packages/ovn.txt. Raises ChildProcessError or TimeoutError, with a log's end, where it does not come up.
    """

    __test__ = False

    def __init__(self, chassis: int = 0, *beside: str) -> None:
        """`beside`: parts of the network below it that are no chassis, such as control planes."""
        for directory in owned.leftovers(PREFIX):
            _end_members(directory)
            shutil.rmtree(directory, ignore_errors=True)
        if shutil.which("ovn-nbctl") is None or shutil.which("ovs-vswitchd") is None:
            raise FileNotFoundError(MISSING)
        self.directory = owned.make(PREFIX)
        self.northbound = f"unix:{self.directory}/nb.sock"
        self.southbound = f"unix:{self.directory}/sb.sock"
        self.hosts = tuple(f"hv{number}" for number in range(1, chassis + 1))
        self.underlay = Network(*self.hosts, *beside)
        self.chassis: list[TestChassis] = []
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.underlay.__enter__()
            for name in SCHEMAS:
                self._create(name)
            self.start()
            self.chassis = [TestChassis(self, part) for part in self.hosts]
            for each in self.chassis:
                each.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start what does not run of both databases ("nb", "sb") and "northd"; return when they answer."""
        for name in SCHEMAS:
            if not self._runs(name):
                socket = self.directory / f"{name}.sock"
                socket.unlink(missing_ok=True)
                command = ["ovsdb-server", f"--remote=punix:{socket}", f"--unixctl={self.directory}/{name}.ctl"]
                self._daemons[name] = self.spawn(name, [*command, str(self.directory / f"{name}.db")])
                self.wait_for(socket.exists, name)
        if not self._runs("northd"):
            databases = [f"--ovnnb-db={self.northbound}", f"--ovnsb-db={self.southbound}"]
            command = ["ovn-northd", *databases, f"--unixctl={self.directory}/northd.ctl"]
            self._daemons["northd"] = self.spawn("northd", command)
        self.nbctl("--wait=sb", "--timeout=60", "sync")

    def kill(self, name: str) -> None:
        """End "nb", "sb" or "northd" as a crash does (SIGKILL)."""
        self._daemons[name].kill()
        self._daemons[name].wait()

    def empty(self) -> None:
        """Lose the northbound database: it comes back without a row."""
        self.kill("nb")
        self._create("nb")
        self.start()

    def clear(self) -> None:
        """Remove every logical thing, whoever made it, and all that was plugged in."""
        for tables in (("Logical_Switch", "Logical_Router"), ROOTS):
            together: list[str] = []
            for table in tables:
                together += ["--", "--all", "destroy", table]
            self.nbctl(*together[1:])
        for each in self.chassis:
            each.clear()

    def nbctl(self, *arguments: str) -> str:
        """What `ovn-nbctl` prints. Raises ChildProcessError."""
        return run(["ovn-nbctl", f"--db={self.northbound}", *arguments])

    def sbctl(self, *arguments: str) -> str:
        """What `ovn-sbctl` prints. Raises ChildProcessError."""
        return run(["ovn-sbctl", f"--db={self.southbound}", *arguments])

    def outside(self, address: str) -> TestGuest:
        """Somebody on the physical network, which all chassis reach: a namespace that has this address ("…/24")."""
        guest = TestGuest(f"{self.underlay.directory.name}-physical")
        run(["ip", "netns", "add", guest.namespace])
        self.chassis[0].guests.append(guest)
        guest.run("ip", "link", "add", "switch", "type", "bridge")
        for number, each in enumerate(self.chassis):
            each.wire(f"{PHYSICAL}{number}", guest)
        guest.run("ip", "addr", "add", address, "dev", "switch")
        guest.run("ip", "link", "set", "switch", "up")
        return guest

    def trace(self, switch: str, flow: str) -> str:
        """Which way a packet goes that is the first of its connection, as ovn-trace(8) tells it."""
        return run(["ovn-trace", f"--db={self.southbound}", "--summary", "--ct=new", switch, flow])

    def settle(self) -> None:
        """Return when every chassis has done what the northbound database says now."""
        self.nbctl("--wait=hv", "--timeout=60", "sync")

    def stop(self) -> None:
        """End everything, and remove it. May be called twice."""
        _end_members(self.directory)
        for daemon in self._daemons.values():
            daemon.wait()
        self.underlay.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def spawn(self, name: str, command: Sequence[str], directory: Path | None = None) -> subprocess.Popen[bytes]:
        """A daemon that logs to `name`.log, with our directory in the place of every one of its own."""
        where = str(directory or self.directory)
        folders = ("OVN_RUNDIR", "OVS_RUNDIR", "OVN_DBDIR", "OVS_DBDIR", "OVN_LOGDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
        environment = {**os.environ, **dict.fromkeys(folders, where), "PV_OVN": str(self.directory)}
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def wait_for(self, true: Callable[[], bool], name: str) -> None:
        """Raises TimeoutError, with the end of a daemon's log."""
        wait_for(true, START_TIMEOUT_SECONDS, lambda: f"{name} does not come up: {self.log(name)}")

    def log(self, name: str) -> str:
        """The end of what a daemon wrote."""
        file = self.directory / f"{name}.log"
        return file.read_text(errors="replace")[-3000:] if file.exists() else ""

    def _runs(self, name: str) -> bool:
        return name in self._daemons and self._daemons[name].poll() is None

    def _create(self, name: str) -> None:
        file = self.directory / f"{name}.db"
        file.unlink(missing_ok=True)
        (self.directory / f".{name}.db.~lock~").unlink(missing_ok=True)
        run(["ovsdb-tool", "create", str(file), SCHEMAS[name]])


def _members(directory: Path) -> Iterator[int]:
    """The processes that were started in our directory."""
    mark = f"PV_OVN={directory}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                yield int(environment.parent.name)


def _end_members(directory: Path) -> None:
    def all_gone() -> bool:
        for pid in members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not members()

    def members() -> list[int]:
        return [pid for pid in _members(directory) if alive(pid)]

    wait_for(all_gone, STOP_TIMEOUT_SECONDS, lambda: f"processes of {directory} do not end: {members()}")
