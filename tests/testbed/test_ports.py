"""Ports that are told beforehand: free, below those that the kernel gives away, and nobody else's for as long."""

import socket
import subprocess
import sys
from pathlib import Path

from testbed import ports

ROOT = Path(__file__).parents[2]
ASKS = "from testbed.ports import free_ports; print(*free_ports(40), flush=True); input()"


def test_each_is_given_once_whichever_process_asks() -> None:
    command = [sys.executable, "-c", ASKS]
    others = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    given = ports.free_ports(40)
    for other in others:
        assert other.stdout is not None
        given += map(int, other.stdout.readline().split())
    for other in others:
        other.communicate("\n")
    assert len(set(given)) == len(given) == 120


def test_they_can_be_listened_at_again_and_again() -> None:
    [port] = ports.free_ports(1)
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(server.getsockname()):
            server.accept()[0].close()


def test_what_another_listens_at_is_not_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not ports._nobody_has(taken.getsockname()[1], "127.0.0.1")


def test_the_kernel_gives_none_of_them_to_a_connection() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    beyond = lowest if lowest > ports.FIRST else ports.LAST + 1  # where it gives away nearly all, it does so
    assert all(ports.FIRST <= port < beyond for port in ports.free_ports(20))
