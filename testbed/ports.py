"""TCP ports for programs that must be told theirs beforehand, or that come back on the same one."""

import random
import socket
from pathlib import Path

FIRST, LAST = 10_000, 19_999
_TRIES = 1000
_kept: dict[int, socket.socket] = {}
"""What says to other processes of tests that a port is ours, for as long as this process lives."""


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports of an address that nobody has, and that are given to nobody else while this process lives.

    A port that the kernel chose (by binding to 0) is no one's once it is let go of: the next connection to anywhere may
    have it for its own end. These lie below those that the kernel gives away, and each process of tests keeps its own.
    Raises OSError where there are none.
    """
    found: list[int] = []
    for _ in range(_TRIES):
        if len(found) == count:
            return found
        port = random.randint(FIRST, min(LAST, _first_given_away() - 1))
        if port not in _kept and _nobody_has(port, address) and (kept := _keep(port)) is not None:
            _kept[port] = kept
            found.append(port)
    raise OSError(f"no {count} ports from {FIRST} to {LAST} are free")


def _first_given_away() -> int:
    """The lowest port that the kernel gives to who asks for any; where that is very low, there is no help for it."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return lowest if lowest > FIRST else LAST + 1


def _nobody_has(port: int, address: str) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: an old connection is no hindrance
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True


def _keep(port: int) -> socket.socket | None:
    """A name that one process can have, and that goes with it, however it ends; None = another one has it."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0polyvisor-test-port-{port}")
    except OSError:
        name.close()
        return None
    return name
