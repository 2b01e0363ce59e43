"""`polyvisor up` is killed by SIGKILL in every step of create and delete, and goes on: real processes, real files."""

import json
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.exceptions import ConnectionError as NoAnswer
from openstack.connection import Connection
from openstack.exceptions import NotFoundException

from polyvisor.operate.kinds import KINDS
from tests.clients.cloud import ADMIN, RunningCloud

pytestmark = pytest.mark.xdist_group("killed_process")

TIMEOUT_SECONDS = 180
FLAVOR = "42"
MOMENTS = ("before", "after")
CASES = [
    (kind, step.name, moment)
    for kind in ("server.create", "server.delete")
    for step in KINDS[kind].steps
    for moment in MOMENTS
]
UNDO_CASES = [
    (step.name, moment) for step in KINDS["server.create"].steps if step.undo_step is not None for moment in MOMENTS
]


class Victim:
    """A cloud whose process dies as planned, started again on the same data each time."""

    def __init__(self, folder: Path) -> None:
        self._plan = folder / "plan"
        self.cloud = RunningCloud(folder, "--simulated", "3", program=(sys.executable, "-m", "tests.crash.killed_up"))
        self.admin: Connection
        self.image = ""

    def start(self) -> None:
        """Start it, with nothing planned."""
        self._plan.unlink(missing_ok=True)
        self.cloud.start(environment={"PLAN": str(self._plan)})
        self.admin = self.cloud.sdk(ADMIN)  # the one before may hold sockets of a dead process

    def make_ready(self) -> None:
        """Whatever the test before has left: it runs, nothing is planned, and no server is there."""
        self._plan.unlink(missing_ok=True)
        if self.cloud.process is None or self.cloud.process.poll() is not None:
            self.cloud.kill()
            self.start()
        for server in self.admin.compute.servers(all_projects=True):
            self.remove(server.id)

    def plan(self, *lines: str) -> None:
        """Say what is to go wrong."""
        self._plan.write_text("\n".join(lines))

    def create(self, name: str) -> str:
        """Ask for a server; returns its id."""
        server = self.admin.compute.create_server(name=name, image_id=self.image, flavor_id=FLAVOR, networks="none")
        return str(server.id)

    def dies_by(self, request: Callable[[], Any]) -> None:
        """Make a request whose operation kills the process; the kill may come before the answer, or after it."""
        with suppress(NoAnswer):
            request()
        assert self.cloud.wait(TIMEOUT_SECONDS) == -signal.SIGKILL

    def find(self, name: str) -> str:
        """The id of the one server of that name."""
        (server,) = self.admin.compute.servers(name=f"^{name}$")
        return str(server.id)

    def remove(self, server_id: str) -> None:
        """Delete a server and wait until it is gone."""
        self.admin.compute.delete_server(server_id)
        self.wait_for_status(server_id, "")

    def wait_for_status(self, server_id: str, wanted: str) -> None:
        """Until the server has that status; "" waits until it is gone."""
        compute = self.admin.compute

        def reached() -> bool:
            try:
                server = compute.get_server(server_id)
            except NotFoundException:
                return wanted == ""
            assert wanted == "" or server.status != "ERROR", server.fault
            return bool(server.status == wanted)

        wait_until(reached, f"server {server_id} is {wanted or 'gone'}")

    def guests(self) -> list[str]:
        """Ids of the servers whose guests are in the simulated world, read from its own file."""
        with closing(sqlite3.connect(self.cloud.data / "simulated" / "simulated.db")) as world:
            return sorted(id for (id,) in world.execute("SELECT server_id FROM guest"))

    def claims(self) -> list[str]:
        """Ids of the servers that hold resources."""
        with closing(sqlite3.connect(self.cloud.data / "polyvisor.db")) as store:
            return sorted(id for (id,) in store.execute("SELECT server_id FROM claim"))

    def used(self) -> tuple[int, int]:
        """vCPUs and MiB that the hypervisors say are used."""
        answer = self.admin.compute.get("/os-hypervisors/detail", microversion="2.87").json()["hypervisors"]
        return sum(host["vcpus_used"] for host in answer), sum(host["memory_mb_used"] for host in answer)

    def assert_nothing_is_lost_or_left(self, servers: list[str]) -> None:
        """The API, the simulated world, the claims and the hypervisors' figures tell of these servers alone."""
        assert [server.id for server in self.admin.compute.servers(all_projects=True)] == servers
        assert self.guests() == servers
        assert self.claims() == servers
        assert self.used() == (len(servers), 128 * len(servers))


@pytest.fixture(scope="module")
def victim_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    folder = tmp_path_factory.mktemp("killed")
    victim = Victim(folder)
    try:
        victim.start()
        content = folder / "image.raw"
        content.write_bytes(bytes(1024**2))
        image = victim.admin.image.create_image(
            name="image", filename=str(content), disk_format="raw", container_format="bare", visibility="public"
        )
        victim.image = image.id
        yield victim
    finally:
        victim.cloud.__exit__()


@pytest.fixture
def victim(victim_of_module: Victim) -> Iterator[Victim]:
    """The module's cloud, running, with no server in it."""
    before = victim_of_module.cloud.log.stat().st_size
    victim_of_module.make_ready()
    yield victim_of_module
    print(f"Logged:\n{victim_of_module.cloud.logged(before)}")


def wait_until(true: Callable[[], Any], what: str) -> None:
    """Look again and again."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"not within {TIMEOUT_SECONDS} s: {what}"
        time.sleep(0.05)


@pytest.mark.parametrize(("kind", "step", "moment"), CASES)
def test_a_killed_process_loses_nothing_and_leaves_nothing(victim: Victim, kind: str, step: str, moment: str) -> None:
    """The next start goes on in the middle of the operation, and ends it as it was asked for."""
    name = f"{step}-{moment}"
    plan = f"{kind} {step} do {moment} kill"
    if kind == "server.create":
        victim.plan(plan)
        victim.dies_by(lambda: victim.create(name))
    else:
        doomed = victim.create(name)
        victim.wait_for_status(doomed, "ACTIVE")
        delete = victim.admin.compute.delete_server
        victim.plan(plan)
        victim.dies_by(lambda: delete(doomed))

    victim.start()

    if kind == "server.create":
        server_id = victim.find(name)
        victim.wait_for_status(server_id, "ACTIVE")
        victim.assert_nothing_is_lost_or_left([server_id])
        victim.remove(server_id)
    else:
        victim.wait_for_status(doomed, "")
    victim.assert_nothing_is_lost_or_left([])


@pytest.mark.parametrize(("step", "moment"), UNDO_CASES)
def test_a_process_killed_while_it_undoes_goes_on_undoing(victim: Victim, step: str, moment: str) -> None:
    """The first host refuses to boot the guest; the kill strikes on the way back; the server ends on another host."""
    victim.plan("server.create boot do after fail", f"server.create {step} undo {moment} kill")
    name = f"undo-{step}-{moment}"
    victim.dies_by(lambda: victim.create(name))

    victim.start()

    server_id = victim.find(name)
    victim.wait_for_status(server_id, "ACTIVE")
    victim.assert_nothing_is_lost_or_left([server_id])
    victim.remove(server_id)
    victim.assert_nothing_is_lost_or_left([])


def test_an_operation_that_cannot_be_undone_is_shown_as_stuck_and_can_be_retried(victim: Victim) -> None:
    """Beside the running cloud: list, show and retry of `polyvisor operations`."""
    victim.plan("server.create boot do after fail", "server.create make undo before fail")
    server_id = victim.create("stuck")
    wait_until(lambda: listed(victim, "stuck"), "an operation is stuck")

    (row,) = listed(victim, "stuck")
    assert row["target_id"] == server_id
    shown = victim.cloud.command("operations", "show", row["id"])
    assert "This was planned to fail." in shown.stdout
    assert "undo failed" in shown.stdout

    victim.plan()
    retried = victim.cloud.command("operations", "retry", row["id"])
    assert retried.status == 0
    victim.wait_for_status(server_id, "ACTIVE")
    assert listed(victim, "stuck") == []
    victim.assert_nothing_is_lost_or_left([server_id])
    victim.remove(server_id)
    victim.assert_nothing_is_lost_or_left([])


def listed(victim: Victim, state: str) -> list[dict[str, Any]]:
    """What `polyvisor operations list` says."""
    answer = victim.cloud.command("operations", "list", "--state", state, "--json")
    assert answer.status == 0, answer
    return [json.loads(line) for line in answer.stdout.splitlines()]
