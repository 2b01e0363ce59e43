"""What systemd is told: where it asks, what it needs, and nothing where it does not."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.agent.notify import notify, watchdog_seconds
from tests.agent.processes import AgentCloud, eventually


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that it listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        yield sock


def test_it_is_told_line_by_line(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    notify("READY=1", "STATUS=serves 1 places")
    assert systemd.recv(1000) == b"READY=1\nSTATUS=serves 1 places"


def test_an_abstract_socket_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0polyvisor-test-{os.getpid()}")
        sock.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@polyvisor-test-{os.getpid()}")
        notify("READY=1")
        assert sock.recv(100) == b"READY=1"


def test_where_nobody_asks_or_listens_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_told_twice_within_its_time(given: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(given.get) == seconds


@pytest.mark.xdist_group("agents_end_to_end")
def test_a_running_agent_tells_of_its_start_its_life_and_its_starting_anew(
    systemd: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AgentCloud(tmp_path) as cloud:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
        agent = cloud.agent("host-a", {"kvm-a": tmp_path / "estate.db"})

        def told() -> bytes:
            return systemd.recv(1000)

        assert told().startswith(b"READY=1")
        eventually(lambda: told() == b"WATCHDOG=1", "its heartbeat is at work")
        agent.signal(signal.SIGHUP)
        eventually(lambda: told().startswith(b"RELOADING=1\nMONOTONIC_USEC="), "it starts anew")
        eventually(lambda: told().startswith(b"READY=1"), "it has started anew")
        agent.signal(signal.SIGTERM)
        eventually(lambda: told() == b"STOPPING=1", "it ends")
        assert agent.wait() == 0
