"""What systemd is told of this process, where it asks: sd_notify(3) is a datagram to the socket that it names."""

import os
import socket
from collections.abc import Callable


def notify(*states: str) -> None:
    """Tell systemd, such as "READY=1" or "STATUS=...". Nothing happens where nobody asks, or listens any more."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    address = f"\0{name[1:]}" if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(1.0)
            sock.sendto("\n".join(states).encode(), address)
    except OSError:
        return


def watchdog_seconds(environment: Callable[[str], str | None] = os.environ.get) -> float | None:
    """How often to say WATCHDOG=1: half of what systemd allows; None where it does not watch."""
    usec, pid = environment("WATCHDOG_USEC"), environment("WATCHDOG_PID")
    if not usec or not usec.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2_000_000
