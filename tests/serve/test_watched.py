"""What systemd is told, on a socket like the one it listens at."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.serve.watched import Watched

PATIENCE_SECONDS = 180


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket; systemd wants a sign of life every 0.1 seconds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(PATIENCE_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield listening


def test_it_is_told_that_the_process_is_up_lives_and_stops(systemd: socket.socket) -> None:
    watched = Watched(lambda: True)
    watched.begin("serves at https://cloud.example")
    heard = [systemd.recv(1000).decode() for _ in range(3)]
    assert heard == ["READY=1\nSTATUS=serves at https://cloud.example", "WATCHDOG=1", "WATCHDOG=1"]
    watched.end()
    while (last := systemd.recv(1000).decode()) == "WATCHDOG=1":
        continue
    assert last == "STOPPING=1"


def test_a_process_that_hangs_is_not_called_alive(systemd: socket.socket) -> None:
    asked = threading.Semaphore(0)

    def alive() -> bool:
        asked.release()
        return False

    watched = Watched(alive)
    watched.begin("up")
    for _ in range(3):
        assert asked.acquire(timeout=PATIENCE_SECONDS)
    watched.end()
    assert [systemd.recv(1000).decode() for _ in range(2)] == ["READY=1\nSTATUS=up", "STOPPING=1"]


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    watched = Watched(lambda: pytest.fail("nobody asks"))
    watched.begin("up")
    watched.end()
