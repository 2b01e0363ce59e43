"""A small network of one's own: a namespace for each part, all on one switch, and any two of them can be cut apart."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from testbed import owned
from testbed.process import alive, wait_for

PREFIX = "pv-net-"
OUTSIDE = "outside"
"""The machine itself, as a part of the network: tests and load generators live there."""
STOP_TIMEOUT_SECONDS = 180.0
_SUBNETS = 512  # 198.18.0.0/15 is set apart for tests between devices (RFC 2544): no site routes it
_CUT = """\
table bridge polyvisor {
  set cut { type ipv4_addr . ipv4_addr; }
  chain pass {
    type filter hook forward priority 0; policy accept;
    ip saddr . ip daddr @cut drop
  }
}
"""


class Network:
    """Namespaces for the named parts, from `with` to the end of the block; each reaches each, and `outside` too.

    Several networks stand side by side, for names and addresses are each run's own. What a killed owner left is
    removed by the next one. Needs root, `ip` and `nft`; raises CalledProcessError, with their words, when they refuse.
    """

    def __init__(self, *parts: str) -> None:
        for directory in owned.leftovers(PREFIX):
            _remove(directory)
        with _lock():
            self.directory = owned.make(PREFIX)
            subnet = _free_subnet()
            (self.directory / "subnet").write_text(str(subnet))
        self._run = self.directory.name.removeprefix(PREFIX)
        self._base = f"198.{18 + subnet // 256}.{subnet % 256}"
        self.parts = parts
        self._numbers = {name: number for number, name in enumerate((OUTSIDE, *parts), 1)}
        self._cut: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def namespace(self, part: str) -> str:
        """The name of a part's namespace, as `ip netns` knows it."""
        return f"{PREFIX}{self._run}-{part}"

    def address(self, part: str) -> str:
        """A part's IPv4 address."""
        return f"{self._base}.{self._numbers[part]}"

    def command(self, part: str, arguments: Sequence[str]) -> list[str]:
        """The command line that runs a program within a part; the process keeps its id through it."""
        if part == OUTSIDE:
            return list(arguments)
        return ["ip", "netns", "exec", self.namespace(part), *arguments]

    def partition(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Drop every packet between two parts, silently, as a broken switch does; `one_way`: only from `one` on."""
        pairs = [(one, other)] if one_way else [(one, other), (other, one)]
        self._change("add", [pair for pair in pairs if pair not in self._cut])
        self._cut.update(pairs)

    def heal(self, one: str = "", other: str = "") -> None:
        """Let two parts reach each other again; without names, all of them."""
        healed = [
            pair for pair in sorted(self._cut) if not one or set(pair) == {one, other} or (not other and one in pair)
        ]
        self._change("delete", healed)
        self._cut.difference_update(healed)

    def isolate(self, part: str) -> None:
        """Cut one part off from all others, `outside` included."""
        for other in (OUTSIDE, *self.parts):
            if other != part:
                self.partition(part, other)

    def remove(self) -> None:
        """End every process within, and remove the namespaces with all that is in them. May be called twice."""
        _remove(self.directory)

    def _change(self, verb: str, pairs: list[tuple[str, str]]) -> None:
        if pairs:
            elements = ", ".join(f"{self.address(one)} . {self.address(other)}" for one, other in pairs)
            self._in_switch(["nft", f"{verb} element bridge polyvisor cut {{ {elements} }}"])

    def _make(self) -> None:
        switch = self.namespace("switch")
        port = f"pv{self._run}"  # at most 15 characters
        outside = [
            f"netns add {switch}",
            *(f"netns add {self.namespace(part)}" for part in self.parts),
            f"link add {port} type veth peer name outside netns {switch}",
            f"addr add {self.address(OUTSIDE)}/24 dev {port}",
            f"link set {port} up",
            *(
                f"link add p{self._numbers[part]} netns {switch} type veth peer name eth0 netns {self.namespace(part)}"
                for part in self.parts
            ),
        ]
        _batch(outside)
        ports = ["outside", *(f"p{self._numbers[part]}" for part in self.parts)]
        _batch(["link set lo up", "link add sw0 type bridge", "link set sw0 up"], switch)
        _batch([f"link set {each} master sw0 up" for each in ports], switch)
        for part in self.parts:
            addresses = ["link set lo up", f"addr add {self.address(part)}/24 dev eth0", "link set eth0 up"]
            _batch(addresses, self.namespace(part))
        self._in_switch(["nft", "-f", "-"], _CUT)

    def _in_switch(self, arguments: Sequence[str], text: str = "") -> None:
        command = ["ip", "netns", "exec", self.namespace("switch"), *arguments]
        subprocess.run(command, input=text, text=True, check=True, capture_output=True)


def _batch(commands: list[str], namespace: str = "") -> None:
    """Several `ip` commands in one process."""
    where = ["-n", namespace] if namespace else []
    done = subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(commands), text=True, capture_output=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, f"ip {commands}", done.stdout, done.stderr)


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One process at a time chooses a subnet."""
    with (owned.FOLDER / f"{PREFIX}lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _free_subnet() -> int:
    taken = set()
    for file in owned.FOLDER.glob(f"{PREFIX}*/subnet"):
        with contextlib.suppress(OSError, ValueError):
            taken.add(int(file.read_text()))
    shown = subprocess.run(["ip", "-o", "-4", "addr"], text=True, capture_output=True, check=True).stdout
    return next(
        number
        for number in range(_SUBNETS)
        if number not in taken and f" 198.{18 + number // 256}.{number % 256}." not in shown
    )


def _namespaces(directory: Path) -> list[str]:
    shown = subprocess.run(["ip", "netns", "list"], text=True, capture_output=True, check=True).stdout
    names = [line.split()[0] for line in shown.splitlines() if line]
    return [name for name in names if name.startswith(f"{directory.name}-")]


def _remove(directory: Path) -> None:
    for namespace in _namespaces(directory):
        _empty(namespace)
        subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)
    # The kernel removes a namespace's interfaces some time later; the outer end is ours to remove now.
    port = f"pv{directory.name.removeprefix(PREFIX)}"
    subprocess.run(["ip", "link", "del", port], check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def _empty(namespace: str) -> None:
    """End every process within a namespace."""

    def all_gone() -> bool:
        for pid in pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids()

    def pids() -> list[int]:
        command = ["ip", "netns", "pids", namespace]
        shown = subprocess.run(command, text=True, capture_output=True, check=False).stdout
        return [int(pid) for pid in shown.split() if alive(int(pid))]

    wait_for(all_gone, STOP_TIMEOUT_SECONDS, lambda: f"processes in {namespace} do not end: {pids()}")
