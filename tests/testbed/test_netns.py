"""The test bed's networks: parts reach each other until they are cut apart, and nothing is left of them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.faults import Program
from testbed.netns import OUTSIDE, Network

PORT = 8000
PATIENCE_SECONDS = 180.0
SILENCE_SECONDS = 0.5
KNOCK = "import socket, sys; socket.create_connection((sys.argv[1], 8000), float(sys.argv[2])).close()"
LISTEN = "import socket, time; s = socket.create_server(('', 8000)); print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Two parts; in each, somebody listens."""
    with Network("one", "two") as made:
        for part in made.parts:
            listener = Program(part, made.command(part, [sys.executable, "-c", LISTEN]), tmp_path / f"{part}.log")
            listener.start()
            listener.wait_for_words("ready", PATIENCE_SECONDS)
        yield made


def reaches(network: Network, one: str, other: str, timeout_seconds: float = SILENCE_SECONDS) -> bool:
    command = [sys.executable, "-c", KNOCK, network.address(other), str(timeout_seconds)]
    return subprocess.run(network.command(one, command), check=False, capture_output=True).returncode == 0


def test_all_parts_reach_each_other(network: Network) -> None:
    for one, other in (("one", "two"), ("two", "one"), (OUTSIDE, "one"), (OUTSIDE, "two")):
        assert reaches(network, one, other, PATIENCE_SECONDS)


def test_two_parts_are_cut_apart_and_healed_while_others_go_on(network: Network) -> None:
    network.partition("one", "two")
    assert not reaches(network, "one", "two")
    assert not reaches(network, "two", "one")
    assert reaches(network, OUTSIDE, "one", PATIENCE_SECONDS)
    network.heal("two", "one")
    assert reaches(network, "one", "two", PATIENCE_SECONDS)


def test_a_connection_outlives_a_short_cut(network: Network) -> None:
    """Packets are dropped, not refused: what was sent meanwhile arrives after it."""
    with socket.create_connection((network.address("one"), PORT), PATIENCE_SECONDS) as connection:
        network.partition(OUTSIDE, "one")
        connection.sendall(b"kept")
        network.heal(OUTSIDE)
        assert connection.getpeername()[0] == network.address("one")
    assert reaches(network, OUTSIDE, "one", PATIENCE_SECONDS)


def test_one_part_alone_is_cut_off_from_all(network: Network) -> None:
    network.isolate("one")
    assert not reaches(network, OUTSIDE, "one")
    assert not reaches(network, "two", "one")
    assert reaches(network, OUTSIDE, "two", PATIENCE_SECONDS)
    network.heal()
    assert reaches(network, OUTSIDE, "one", PATIENCE_SECONDS)


def test_networks_stand_side_by_side(network: Network) -> None:
    with Network("one") as other:
        assert other.address("one") != network.address("one")
        assert other.namespace("one") != network.namespace("one")
        other.isolate("one")
        assert reaches(network, OUTSIDE, "one", PATIENCE_SECONDS)


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout


def test_the_next_network_removes_what_a_killed_owner_left() -> None:
    script = (
        "import subprocess, sys, time; from testbed.netns import Network\n"
        "made = Network('orphan').__enter__()\n"
        "left = subprocess.Popen(made.command('orphan', ['sleep', '600']), stdout=subprocess.DEVNULL)\n"
        "print(made.namespace('orphan'), left.pid, flush=True); time.sleep(600)"
    )
    root = Path(__file__).parents[2]
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root)
    assert owner.stdout is not None
    namespace, pid = owner.stdout.readline().split()
    assert namespace in namespaces()
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    with Network("next"):
        assert namespace not in namespaces()
        assert not Path(f"/proc/{pid}/exe").exists()
