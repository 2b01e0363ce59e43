"""`polyvisor up` as a process: how it stops, what it refuses to start with, and how it is reached from elsewhere."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.cloud import PROGRAM, RunningCloud

PATIENCE_SECONDS = 180


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    """Not started yet."""
    made = RunningCloud(tmp_path, "--simulated", "1")
    try:
        yield made
    finally:
        made.__exit__()
        print(f"Logged:\n{made.logged() if made.log.exists() else ''}")


def refused(folder: Path, *arguments: str) -> str:
    """What `polyvisor up` says when it does not start: one sentence, and no traceback."""
    done = subprocess.run(
        [PROGRAM, "up", "--data", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_asked_to(cloud: RunningCloud, how: signal.Signals) -> None:
    """With a client's connection open, exit code 0, and nothing in the log that looks like a failure."""
    cloud.start()
    with socket.create_connection(("127.0.0.1", int(cloud.url.rpartition(":")[2]))):
        assert cloud.process is not None
        cloud.process.send_signal(how)
        assert cloud.wait() == 0
    assert "Traceback" not in cloud.logged()
    assert "level=error" not in cloud.logged()


def test_the_next_start_finds_the_same_cloud(cloud: RunningCloud) -> None:
    """Passwords, ids and endpoints stay, though the port is another one."""
    first = cloud.start().sdk()
    project, flavors = first.current_project_id, [flavor.id for flavor in first.compute.flavors()]
    assert cloud.stop() == 0
    second = cloud.start().sdk()
    assert second.current_project_id == project
    assert [flavor.id for flavor in second.compute.flavors()] == flavors


def test_what_holds_secrets_is_readable_by_its_owner_alone(cloud: RunningCloud) -> None:
    cloud.start()
    assert cloud.data.stat().st_mode & 0o077 == 0
    assert cloud.clouds_file.stat().st_mode & 0o077 == 0


def test_a_second_one_on_the_same_data_is_refused(cloud: RunningCloud) -> None:
    cloud.start()
    said = refused(cloud.data, "--listen", "127.0.0.1:0")
    assert "Another polyvisor is running on" in said
    assert "--data" in said
    assert cloud.sdk().current_project_id, "the first one goes on"


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--listen", f"127.0.0.1:{port}")
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use" in said
    assert "--listen" in said


def test_a_mistake_in_the_configuration_is_told_in_a_sentence(tmp_path: Path) -> None:
    """The one in the data directory is read without being asked for."""
    (tmp_path / "polyvisor.toml").write_text('[[hypervisor]]\nname = "a"\ndriver = "simulated"\nhosts = "many"')
    said = refused(tmp_path, "--listen", "127.0.0.1:0")
    assert said == "polyvisor: [[hypervisor]] 'a': Expected `int`, got `str` - at `$.hosts`.\n"


def test_options_without_sense_are_refused(tmp_path: Path) -> None:
    assert "no address to listen on" in refused(tmp_path, "--listen", "nowhere")
    assert "cannot be read" in refused(tmp_path, "--config", str(tmp_path / "none.toml"))
    assert "shows in the process list" in refused(tmp_path, "--vcenter", "https://user:word@vcenter.example")


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, str]]:
    """A network namespace with one address of its own, which is not loopback: its name and the address."""
    name, address = f"pv-{os.getpid()}", "198.51.100.7"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        # A veth pair with both ends in the namespace: nothing of it is seen outside.
        ip("-n", name, "link", "add", "inner", "type", "veth", "peer", "name", "outer")
        ip("-n", name, "address", "add", f"{address}/24", "dev", "inner")
        ip("-n", name, "link", "set", "inner", "up")
        ip("-n", name, "link", "set", "outer", "up")
        yield name, address
    finally:
        ip("netns", "delete", name)


def test_beyond_loopback_it_speaks_tls_alone(tmp_path: Path, elsewhere: tuple[str, str]) -> None:
    """The clouds.yaml that it writes names the authority to trust, and clients take it."""
    namespace, address = elsewhere
    inside = ("ip", "netns", "exec", namespace)
    cloud = RunningCloud(tmp_path, "--simulated", "1", program=(*inside, PROGRAM), listen=f"{address}:5443")
    try:
        cloud.start()
        assert cloud.url == f"https://{address}:5443"
        clouds = json.loads(cloud.clouds_file.read_text().partition("\n")[2])["clouds"]
        authority = clouds["polyvisor"]["cacert"]

        listed = subprocess.run(
            [*inside, str(Path(PROGRAM).parent / "openstack"), "--os-cloud", "polyvisor", "flavor", "list"],
            env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_file)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert "m1.nano" in listed.stdout, listed.stderr

        plain = subprocess.run(
            [*inside, "curl", "--silent", "--max-time", str(PATIENCE_SECONDS), f"http://{address}:5443/identity/v3"],
            capture_output=True,
            check=False,
        )
        assert plain.returncode != 0, "nothing is told without TLS"
        assert Path(authority).with_name("server.key").stat().st_mode & 0o077 == 0
    finally:
        cloud.__exit__()
        print(f"Logged:\n{cloud.logged()}")
