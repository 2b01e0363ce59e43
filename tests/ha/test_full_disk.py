"""A cloud whose data directory is full keeps what it has promised, refuses the rest, and goes on once there is room."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.client import Client, NoAnswer, Refused
from testbed import audit, looks
from testbed.audit import Ledger
from testbed.faults import SmallDisk
from tests.clients.cloud import RunningCloud

pytestmark = pytest.mark.xdist_group("ha")

DISK_MIB = 24
PATIENCE_SECONDS = 180.0
SERVERS = "/compute/v2.1/servers"


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with SmallDisk(DISK_MIB) as made:
        yield made


@pytest.fixture
def cloud(disk: SmallDisk) -> Iterator[RunningCloud]:
    """`polyvisor up` with two simulated hosts, all of whose files are on the small disk."""
    (disk.path / "polyvisor.toml").write_text("[image]\nkeep_free_bytes = 0\n")
    config = ("--config", str(disk.path / "polyvisor.toml"))
    with RunningCloud(disk.path, "--simulated", "2", *config) as made:
        yield made


def client(cloud: RunningCloud) -> Client:
    text = Path(cloud.clouds_file).read_text().partition("\n")[2]
    auth = json.loads(text)["clouds"]["polyvisor-admin"]["auth"]
    return Client([cloud.url], auth["username"], auth["password"], auth["project_name"], False, PATIENCE_SECONDS)


def test_a_full_disk_loses_nothing_that_was_promised(cloud: RunningCloud, disk: SmallDisk) -> None:
    ledger = Ledger()
    user = client(cloud)
    described = {"name": "image", "disk_format": "raw", "container_format": "bare"}
    image = user.ask("POST", "/image/v2/images", described).json()["id"]
    user.ask("PUT", f"/image/v2/images/{image}/file", data=bytes(4096),
             headers={"Content-Type": "application/octet-stream"})  # fmt: skip

    def ask_for(name: str) -> bool:
        """Whether a server was promised."""
        server = {"name": name, "imageRef": image, "flavorRef": "42", "networks": "none"}
        try:
            answer = user.ask("POST", SERVERS, {"server": server})
        except (NoAnswer, Refused):
            ledger.unanswered.add(name)
            return False
        ledger.created[answer.json()["server"]["id"]] = name
        return True

    def told() -> list[str]:
        estate = looks.simulated("simulated", next((cloud.data / "simulated").glob("*.db")))
        return audit.judge(ledger, audit.read(f"sqlite:///{cloud.data / 'polyvisor.db'}"), estate)

    assert ask_for("before")
    disk.fill()
    promised = [ask_for(f"while-full-{number}") for number in range(40)]
    assert not all(promised), "the disk was never too full for one more server"
    assert cloud.process is not None
    assert cloud.process.poll() is None, cloud.logged()
    disk.free()

    deadline = time.monotonic() + PATIENCE_SECONDS
    while complaints := told():
        assert time.monotonic() < deadline, complaints
        time.sleep(0.2)
    assert ask_for("after")
    user.close()
