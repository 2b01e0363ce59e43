"""A machine of our own on which no Open vSwitch runs: namespaces in which its standard places are empty."""

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from testbed import owned
from testbed.netns import Network
from testbed.process import wait_for

PREFIX = "pv-bare-"
START_TIMEOUT_SECONDS = 180.0
TIMEOUT_SECONDS = 180
HOSTNAME = "kvm-1"


class BareMachine:
    """`with BareMachine() as machine: machine.run("ovs-vsctl", "show")`. Needs root.

    It has a name, and a network namespace with an address that the real machine reaches; it shares its files, but for
    /run/openvswitch (which is `openvswitch`), /run/ovn, and what `hidden` names. Every process within ends with the
    block. Raises TimeoutError or ChildProcessError where it does not come up.
    """

    def __init__(self, hidden: Sequence[str] = (), hostname: str = HOSTNAME) -> None:
        """`hidden`: files in whose place there is nothing to be had, such as programs.

        `hostname`: what its libvirt must be called, too, for ports are bound to hosts and chassis are known by name.
        """
        for directory in owned.leftovers(PREFIX):
            subprocess.run(["rm", "-rf", directory], check=True)
        self.directory = owned.make(PREFIX)
        self.openvswitch = self.directory / "openvswitch"
        self._ovn = self.directory / "ovn"
        self.hostname = hostname
        self._network = Network(hostname)
        self._hidden = hidden
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._network.__enter__()
            for each in (self.openvswitch, self._ovn):
                each.mkdir()
            self._hold()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._network.remove()
        if self._holder is not None:
            self._holder.wait()
        subprocess.run(["rm", "-rf", self.directory], check=True)

    @property
    def namespace(self) -> str:
        """Its network namespace, as `ip netns` knows it."""
        return self._network.namespace(self.hostname)

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        return self._network.address(self.hostname)

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs a program within; the process keeps its id through it."""
        assert self._holder is not None, "it is not up"
        return ["nsenter", f"--target={self._holder.pid}", "--mount", "--net", "--uts", *arguments]

    def run(self, *arguments: str) -> str:
        """What a program prints. Raises ChildProcessError."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
        if done.returncode:
            raise ChildProcessError(f"{' '.join(arguments)}: status {done.returncode}: {done.stderr} {done.stdout}")
        return done.stdout

    def pids(self, program: str) -> list[int]:
        """Processes within that run a program, those that watch over others left out."""
        inside = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=True)
        found = []
        for pid in map(int, inside.stdout.split()):
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode()
                if name.rpartition("/")[2] == program:
                    found.append(pid)
        return found

    def _hold(self) -> None:
        steps = [
            f"mkdir -p {place} && mount --bind {directory} {place}"
            for place, directory in (("/run/openvswitch", self.openvswitch), ("/run/ovn", self._ovn))
        ]
        steps += [f"mount --bind /dev/null {each}" for each in self._hidden]
        steps += [f"hostname {self.hostname}", f"touch {self.directory}/ready", "exec sleep infinity"]
        command = ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--uts", "--propagation", "private"]
        self._holder = subprocess.Popen([*command, "sh", "-ec", "\n".join(steps)], text=True, start_new_session=True)
        wait_for((self.directory / "ready").exists, START_TIMEOUT_SECONDS, lambda: "its namespaces do not come up")
