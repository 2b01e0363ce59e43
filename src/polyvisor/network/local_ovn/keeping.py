"""Brings this machine's OVN up for `polyvisor up`, and keeps it so: what has died is started again.

The daemons are nobody's children: they go on when `polyvisor up` ends or is killed, and guests keep their traffic. The
next start finds them by the locks on their pid files.
"""

import logging
import threading
from pathlib import Path
from typing import Self

from polyvisor.model.record import Record
from polyvisor.network.local_ovn import choice as choices
from polyvisor.network.local_ovn.chassis import OWNER, Chassis, Wanted
from polyvisor.network.local_ovn.choice import Choice
from polyvisor.network.local_ovn.command import is_root, missing_packages, run
from polyvisor.network.local_ovn.daemon import Daemon, bound_log, end, pid, start
from polyvisor.network.local_ovn.parts import Parts, Places
from polyvisor.network.local_ovn.trouble import Trouble

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
_STANDARD = Places()
_ALWAYS = ("ovs-vsctl", "ovn-nbctl", "ip", "ethtool")
_NEEDED = {
    "central": ("ovsdb-server", "ovn-northd"),
    "switch": ("ovsdb-server", "ovs-vswitchd"),
    "controller": ("ovn-controller",),
}


class Part(Record):
    """One daemon, for the eye."""

    name: str
    pid: int
    """0 where it does not run."""
    log: Path


class LocalOvn:
    """This machine's OVN. `bring_up` first; within `with`, what dies is started again."""

    def __init__(self, directory: Path, wanted: Wanted, places: Places = _STANDARD) -> None:
        """`directory`: of databases, sockets, pid files and logs that are ours."""
        self._parts = Parts(directory=directory, places=places)
        self._chassis = Chassis(places.switch, wanted)
        self._directory, self._places = directory, places
        self._choice: Choice | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="local-ovn", daemon=True)
        self._complaint = ""

    @property
    def chosen_before(self) -> bool:
        """Whether an earlier start has kept networks here. Raises Trouble."""
        return choices.read(self._directory) is not None

    @property
    def northbound(self) -> str:
        """Where the northbound database answers, once it is up."""
        return f"unix:{self._parts.northbound if self._ours('central') else self._places.northbound}"

    @property
    def southbound(self) -> str:
        """Where the southbound database answers, once it is up."""
        return f"unix:{self._parts.southbound if self._ours('central') else self._places.southbound}"

    def told(self) -> str:
        """Whose OVN it is and which datapath it has, for a start message."""
        datapath = "the kernel's" if self._chassis.datapath() == "system" else "the userspace"
        whose = f"started by polyvisor, in {self._directory}" if self._ours("central") else "this machine's own"
        return f"{whose}; {datapath} datapath"

    def bring_up(self) -> None:
        """Use what runs, start what does not, and make this machine a chassis. Raises Trouble, and undoes then what it
        began here for the first time."""
        if not is_root():
            raise Trouble("only root can start OVN and Open vSwitch; start as root, or name your own OVN's databases")
        known = choices.read(self._directory)
        self._choice = known or self._decide()
        self._refuse()
        if known is None:
            choices.write(self._directory, self._choice)
        try:
            self._start(choices.owner(self._directory))
        except Trouble:
            if known is None:
                self.stop()
            raise

    def stop(self) -> list[str]:
        """End the daemons that are ours; their names. Databases stay; guests lose their networks until the next start.

        Raises Trouble.
        """
        self._choice = self._choice or choices.read(self._directory)
        if self._choice is None:
            return []
        ended = []
        for daemon in reversed(self._daemons()):
            cleanup = ["--cleanup"] if daemon.program == "ovs-vswitchd" else []
            if end(daemon, *cleanup):
                ended.append(daemon.name)
        if not self._ours("switch") and choices.answers(self._places.switch):
            self._chassis.leave(choices.owner(self._directory))
        choices.forget(self._directory)
        return ended

    def parts(self) -> list[Part]:
        """The daemons that are ours, running or not. Raises Trouble."""
        self._choice = self._choice or choices.read(self._directory)
        found = self._daemons() if self._choice else []
        return [Part(name=each.name, pid=pid(each), log=each.log) for each in found]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=120)

    def _decide(self) -> Choice:
        """What runs here already is the machine's."""
        return choices.new(
            central=choices.answers(self._places.northbound) and choices.answers(self._places.southbound),
            switch=choices.answers(self._places.switch),
            controller=bool(pid(self._parts.machines_controller())),
        )

    def _refuse(self) -> None:
        """Raise Trouble where this machine lacks what it takes."""
        needed = {*_ALWAYS, *(program for part, names in _NEEDED.items() if self._ours(part) for program in names)}
        missing = missing_packages(needed)
        if missing:
            raise Trouble(f"OVN is not installed here; install the packages {', '.join(missing)}, and start again")
        if "," in str(self._directory):
            raise Trouble(f"the sockets of OVN cannot lie in {self._directory}: choose a --data without a comma")

    def _start(self, mark: str) -> None:
        if self._ours("switch"):
            _load_module()
        # The switch first: it may turn out to be another cloud's.
        central = self._parts.central() if self._ours("central") else ()
        switch = self._parts.switch() if self._ours("switch") else ()
        self._parts.make_databases((*central, *switch))
        for daemon in switch:
            start(daemon)
            self._chassis.initialise()
        remote, owner = self._chassis.owner()
        if remote and owner != mark and (owner or self._ours("central")):
            raise Trouble(
                f"this machine's Open vSwitch is a chassis of another OVN already, at {remote}; name that one's "
                "databases as ovn_northbound and ovn_southbound under [network], or stop it"
            )
        for daemon in central:
            start(daemon)
        if central:
            # ovn-controller must not meet a database that northd has not been at.
            run("ovn-nbctl", f"--db={self.northbound}", "--timeout=30", "--wait=sb", "sync")
        else:
            self._claim(mark)
        self._chassis.join(self.southbound, mark)
        if self._ours("controller"):
            start(self._parts.controller())

    def _claim(self, mark: str) -> None:
        """Mark a database that is not ours, so that no second cloud takes the first one's rows for leftovers."""
        nbctl = ("ovn-nbctl", f"--db={self.northbound}", "--timeout=30")
        found = run(*nbctl, "--if-exists", "get", "NB_Global", ".", f"external_ids:{OWNER}").strip().strip('"')
        if found and found != mark:
            raise Trouble(
                "this machine's OVN keeps the networks of another polyvisor; where that one is gone, type: "
                f"ovn-nbctl remove NB_Global . external_ids {OWNER}"
            )
        run(*nbctl, "set", "NB_Global", ".", f"external_ids:{OWNER}={mark}")

    def _daemons(self) -> list[Daemon]:
        """Ours, in the order in which they start."""
        parts = self._parts
        return [
            *(parts.switch() if self._ours("switch") else ()),
            *(parts.central() if self._ours("central") else ()),
            *([parts.controller()] if self._ours("controller") else []),
        ]

    def _ours(self, part: str) -> bool:
        return self._choice is not None and getattr(self._choice, part) == "ours"

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self._revive()
                self._complaint = ""
            except (Trouble, OSError) as error:
                if str(error) != self._complaint:
                    log.error("%s; trying again until it does", error)
                self._complaint = str(error)

    def _revive(self) -> None:
        for daemon in self._daemons():
            if not pid(daemon):
                log.warning("%s had ended; starting it again", daemon.name)
                start(daemon)
                if daemon.program == "ovs-vswitchd":
                    self._chassis.raise_bridges()
            bound_log(daemon)


def _load_module() -> None:
    """The kernel's datapath, where it is a module; where there is none, the trial bridge tells."""
    try:
        run("modprobe", "openvswitch")
    except Trouble as error:
        log.debug("the kernel has no module openvswitch: %s", error)
