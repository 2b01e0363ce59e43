"""A network namespace of this process's own: a card in it, and the sockets that listen there.

The namespace has no name and no process: it lives as long as this process holds it open, and a process that is killed
takes its namespaces, and both ends of their cards, with it.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from polyvisor.model.metadata import ADDRESS, ADDRESS_6, PORT, MetadataPort

T = TypeVar("T")
INNER = "meta0"
"""The card's name inside."""
_CLONE_NEWNET = 0x40000000
_BACKLOG = 128
_NOW = " nodad"
"""IPv6 addresses are the port's on every chassis: they are not asked for whether anybody has them."""
_TIMEOUT_SECONDS = 20
_HAS_IPV6 = Path("/proc/sys/net/ipv6")
_OFF = (
    Path("/proc/sys/net/ipv4/ip_forward"),
    Path("/proc/sys/net/ipv6/conf/all/forwarding"),
    Path(f"/proc/sys/net/ipv6/conf/{INNER}/accept_ra"),
)
"""Nothing passes through here, and the only routes are to the network's own subnets."""
_libc = ctypes.CDLL(None, use_errno=True)


class Trouble(Exception):
    """The metadata service of a network could not be set up here, in a sentence that says why."""


class Space:
    """One namespace, from `make` to `close`."""

    def __init__(self, outer: str, namespace: int, sockets: tuple[socket.socket, ...]) -> None:
        self.outer, self.sockets = outer, sockets
        self._namespace = namespace

    def change(self, port: MetadataPort) -> None:
        """Give the card other addresses. Raises Trouble."""
        _within(lambda: _ip(_configure(port)), self._namespace)

    def close(self) -> None:
        """Let go of it; whoever still holds one of the sockets keeps it alive."""
        remove_card(self.outer)
        for each in self.sockets:
            each.close()
        os.close(self._namespace)


def make(port: MetadataPort, outer: str, *, software_checksums: bool) -> Space:
    """A namespace where `port`'s network can be answered, whose card's other end is `outer` in the machine's own.

    `software_checksums`: the switch does not fill in what cards leave to the hardware. Raises Trouble.
    """
    remove_card(outer)  # of a process before this one, whose namespace the kernel is still clearing away
    card = f"link add {INNER} type veth peer name {outer} netns {os.getpid()}"
    try:
        space = _within(lambda: _inside(port, outer, [card, *_configure(port)]), None)
    except BaseException:
        remove_card(outer)  # the namespace has gone already: the kernel would get to it, later
        raise
    try:
        if software_checksums:
            _within(lambda: _no_offload(INNER), space._namespace)
            _no_offload(outer)
        _ip([f"link set {outer} mtu {port.mtu} up"])
    except BaseException:
        space.close()
        raise
    return space


def remove_card(outer: str) -> None:
    """Remove a card by its outer end; both ends go. Without one, all is well."""
    subprocess.run(["ip", "link", "del", outer], capture_output=True, check=False, timeout=_TIMEOUT_SECONDS)


def _inside(port: MetadataPort, outer: str, commands: list[str]) -> Space:
    """To be run by a thread that is in the namespace."""
    _ip(commands)
    _close_off()
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    sockets: list[socket.socket] = []
    try:
        sockets.append(_listening(socket.AF_INET, (ADDRESS, PORT)))
        if _HAS_IPV6.exists():
            sockets.append(_listening(socket.AF_INET6, (ADDRESS_6, PORT, 0, socket.if_nametoindex(INNER))))
    except OSError as error:
        for each in sockets:
            each.close()
        os.close(namespace)
        raise Trouble(f"The metadata service of network {port.network_id} cannot listen: {error.strerror}.") from None
    return Space(outer, namespace, tuple(sockets))


def _configure(port: MetadataPort) -> list[str]:
    """Commands for `ip`, to be given within; may be given again."""
    commands = [
        "link set lo up",
        f"link set {INNER} address {port.mac_address} mtu {port.mtu}",
        f"addr flush dev {INNER} scope global",
        *(f"addr replace {address} dev {INNER}{_NOW if ':' in address else ''}" for address in port.addresses),
        f"addr replace {ADDRESS}/32 dev {INNER}",
    ]
    if _HAS_IPV6.exists():
        commands.append(f"addr replace {ADDRESS_6}/64 dev {INNER}{_NOW}")
    return [*commands, f"link set {INNER} up"]


def _close_off() -> None:
    for setting in _OFF:
        # A service may not be allowed to: what is forwarded then comes back to the network that it came from.
        with contextlib.suppress(OSError):
            setting.write_text("0")


def _listening(family: socket.AddressFamily, address: tuple[str | int, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _no_offload(card: str) -> None:
    _run(["ethtool", "-K", card, "tx", "off"])


def _ip(commands: list[str]) -> None:
    _run(["ip", "-batch", "-"], "\n".join(commands))


def _run(command: list[str], told: str = "") -> None:
    try:
        done = subprocess.run(command, input=told, text=True, capture_output=True, timeout=_TIMEOUT_SECONDS)
    except FileNotFoundError:
        raise Trouble(f"There is no {command[0]} here: install the package that has it (iproute2, ethtool).") from None
    except subprocess.TimeoutExpired:
        raise Trouble(f"{command[0]} has not ended within {_TIMEOUT_SECONDS} seconds.") from None
    if done.returncode:
        raise Trouble(f"{' '.join(command)} refused: {done.stderr.strip()}")


def _within(act: Callable[[], T], namespace: int | None) -> T:
    """What `act` returns, run by a thread that goes into the namespace (None = a new one) and ends there."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            _enter(namespace)
            result.set_result(act())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            result.set_exception(error)

    thread = threading.Thread(target=run, name="metadata-namespace", daemon=True)
    thread.start()
    thread.join()
    return result.result()


def _enter(namespace: int | None) -> None:
    """Put the calling thread, and it alone, into a namespace."""
    failed = _libc.unshare(_CLONE_NEWNET) if namespace is None else _libc.setns(namespace, _CLONE_NEWNET)
    if failed:
        reason = os.strerror(ctypes.get_errno())
        raise Trouble(
            f"A network namespace is needed for the metadata service ({reason}): start this process as root, or with "
            "CAP_SYS_ADMIN and CAP_NET_ADMIN."
        )
