"""Ethernet frames of one's own making, and a raw socket at a guest's card that sends them and hears what arrives."""

import ctypes
import ipaddress
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Self, TypeVar

T = TypeVar("T")
BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP, IPV4, VLAN, IPV6 = 0x0806, 0x0800, 0x8100, 0x86DD
_CLONE_NEWNET = 0x40000000
_SOL_PACKET, _PACKET_AUXDATA = 263, 8
_EVERY_PROTOCOL = 3
_AUXDATA = "IIIHHHH"
"""struct tpacket_auxdata: status, length, captured length, two offsets, VLAN and its protocol."""
_VLAN_VALID = 0x10
_libc = ctypes.CDLL(None, use_errno=True)


class Wire:
    """The card of a guest, frame by frame: `with Wire(guest.namespace) as wire: wire.send(frame)`.

    It hears from its making on; what the guest's kernel sends of itself is not told.
    """

    def __init__(self, namespace: str, card: str = "eth0") -> None:
        self._socket = within(namespace, lambda: _opened(card))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        """Send it as it is."""
        self._socket.send(frame)

    def hears(self, mark: bytes, seconds: float) -> tuple[bool, list[bytes]]:
        """Whether a frame comes within that time which contains the mark; and all that came until then."""
        heard: list[bytes] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            frame = self._next(deadline - time.monotonic())
            if frame is not None:
                heard.append(frame)
                if mark in frame:
                    return True, heard
        return False, heard

    def _next(self, seconds: float) -> bytes | None:
        readable, _, _ = select.select([self._socket], [], [], seconds)
        if not readable:
            return None
        frame, ancillary, _, sender = self._socket.recvmsg(65536, socket.CMSG_SPACE(struct.calcsize(_AUXDATA)))
        if sender[2] == socket.PACKET_OUTGOING:
            return None
        for level, kind, content in ancillary:
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                status, *_, vlan, _ = struct.unpack(_AUXDATA, content[: struct.calcsize(_AUXDATA)])
                if status & _VLAN_VALID:  # the kernel has taken the tag off
                    return frame[:12] + struct.pack("!HH", VLAN, vlan) + frame[12:]
        return frame


def within(namespace: str, act: Callable[[], T]) -> T:
    """What `act` returns, run by a thread of its own that has gone into a named namespace."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            entered = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(entered, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"{namespace} cannot be entered")
            finally:
                os.close(entered)
            result.set_result(act())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            result.set_exception(error)

    thread = threading.Thread(target=run, name="within", daemon=True)
    thread.start()
    thread.join()
    return result.result()


def ethernet(source: str, target: str, kind: int, content: bytes, vlan: int | None = None) -> bytes:
    """A frame; with a tag of IEEE 802.1Q where there is a VLAN."""
    tag = b"" if vlan is None else struct.pack("!HH", VLAN, vlan)
    return _mac(target) + _mac(source) + tag + struct.pack("!H", kind) + content


def arp(operation: int, source: tuple[str, str], target: tuple[str, str]) -> bytes:
    """Operation 1 asks, 2 answers; source and target are MAC and IPv4 address each."""
    head = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    return head + b"".join(_mac(mac) + ipaddress.ip_address(ip).packed for mac, ip in (source, target))


def udp(source: tuple[str, int], target: tuple[str, int], content: bytes) -> bytes:
    """An IP packet of the addresses' own version that carries a datagram; addresses and ports."""
    pseudo = _pseudo(source[0], target[0], socket.IPPROTO_UDP, 8 + len(content))
    head = struct.pack("!HHH", source[1], target[1], 8 + len(content))
    sum = _checksum(pseudo + head + b"\0\0" + content) or 0xFFFF
    return packet(source[0], target[0], socket.IPPROTO_UDP, head + struct.pack("!H", sum) + content)


def icmp6(source: str, target: str, kind: int, content: bytes) -> bytes:
    """An IPv6 packet with a message of ICMPv6, code 0."""
    pseudo = _pseudo(source, target, socket.IPPROTO_ICMPV6, 4 + len(content))
    sum = _checksum(pseudo + struct.pack("!BBH", kind, 0, 0) + content)
    return packet(source, target, socket.IPPROTO_ICMPV6, struct.pack("!BBH", kind, 0, sum) + content)


def packet(source: str, target: str, protocol: int, content: bytes) -> bytes:
    """An IP packet. Its hop limit is 255, which messages between neighbours must have."""
    one, other = ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed
    if len(one) == 16:
        return struct.pack("!IHBB", 6 << 28, len(content), protocol, 255) + one + other + content
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(content), 0, 0, 255, protocol)
    return head + struct.pack("!H", _checksum(head + b"\0\0" + one + other)) + one + other + content


def _opened(card: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    made.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    made.bind((card, _EVERY_PROTOCOL))
    return made


def _pseudo(source: str, target: str, protocol: int, length: int) -> bytes:
    """What checksums of the transport cover besides their packet (RFC 768; RFC 8200, 8.1)."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    return addresses + struct.pack("!II" if len(addresses) == 32 else "!HH", *_lengths(addresses, protocol, length))


def _lengths(addresses: bytes, protocol: int, length: int) -> tuple[int, int]:
    return (length, protocol) if len(addresses) == 32 else (protocol, length)


def _checksum(content: bytes) -> int:
    """Of the internet (RFC 1071)."""
    padded = content + b"\0" * (len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _mac(written: str) -> bytes:
    return bytes.fromhex(written.replace(":", ""))
