"""The other commands: `polyvisor operations` beside a running cloud, help, and what they say to mistakes."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import polyvisor
from tests.clients.cloud import PROGRAM, RunningCloud

pytestmark = pytest.mark.xdist_group("commands")

TIMEOUT_SECONDS = 180


def polyvisor_command(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """With one server in it."""
    folder = tmp_path_factory.mktemp("commands")
    with RunningCloud(folder, "--simulated", "1") as running:
        sdk = running.sdk()
        content = folder / "image.raw"
        content.write_bytes(bytes(1024**2))
        image = sdk.image.create_image(name="image", filename=str(content), disk_format="raw", container_format="bare")
        server = sdk.compute.create_server(
            name="shown", image_id=image.id, flavor_id="42", networks="none", user_data="c2VjcmV0IHdvcmRz"
        )
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while sdk.compute.get_server(server.id).status != "ACTIVE":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield running


def test_operations_are_listed_beside_a_running_cloud(cloud: RunningCloud) -> None:
    assert cloud.command("operations", "list").stdout == "No operations.\n"
    listed = cloud.command("operations", "list", "--state", "all")
    assert listed.status == 0
    assert "server.create" in listed.stdout
    assert "done" in listed.stdout
    (row,) = [
        json.loads(line)
        for line in cloud.command("operations", "list", "--state", "done", "--json").stdout.splitlines()
    ]
    assert row["kind"] == "server.create"


def test_an_operation_is_shown_with_its_journal_and_without_its_secrets(cloud: RunningCloud) -> None:
    (row,) = [
        json.loads(line)
        for line in cloud.command("operations", "list", "--state", "done", "--json").stdout.splitlines()
    ]
    shown = cloud.command("operations", "show", row["id"])
    for word in ("server.create", "claim", "prepare_image", "make", "boot", "finish", "simulated"):
        assert word in shown.stdout
    as_json = cloud.command("operations", "show", row["id"], "--json").stdout
    assert [entry["step"] for entry in json.loads(as_json)["journal"]] == [
        "claim", "prepare_image", "make", "boot", "finish"
    ]  # fmt: skip
    for said in (shown.stdout, as_json):
        assert "c2VjcmV0IHdvcmRz" not in said, "user data is for the guest alone"


def test_only_what_is_stuck_can_be_retried(cloud: RunningCloud) -> None:
    (row,) = [
        json.loads(line)
        for line in cloud.command("operations", "list", "--state", "done", "--json").stdout.splitlines()
    ]
    done = cloud.command("operations", "retry", row["id"])
    assert (done.status, "only stuck operations can be retried" in done.stderr) == (1, True)
    unknown = cloud.command("operations", "show", "nothing")
    assert (unknown.status, "nothing" in unknown.stderr, "Traceback" in unknown.stderr) == (1, True, False)


def test_operations_of_no_cloud_say_where_to_look(tmp_path: Path) -> None:
    said = polyvisor_command("operations", "--data", str(tmp_path), "list")
    assert said.returncode == 1
    assert "There is no database in" in said.stderr


def test_help_names_every_command() -> None:
    said = polyvisor_command("--help")
    assert said.returncode == 0
    for command in ("up", "operations", "settings"):
        assert command in said.stdout
    assert polyvisor_command("--version").stdout == f"polyvisor {polyvisor.__version__}\n"
    unknown = polyvisor_command("fly")
    assert unknown.returncode == 2
    assert "No such command 'fly'" in unknown.stderr
