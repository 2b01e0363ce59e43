"""Several servers, each a process with an engine of its own, on one PostgreSQL: every step is taken by one of them."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from polyvisor.hypervisor.simulated import SimulatedSettings
from polyvisor.model.operation import OperationState
from polyvisor.model.server import VmState
from testbed.process import wait_for
from tests.operate.cloud import Cloud

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 180
SERVERS = 24

# A server's control loop, and a worker, which share nothing with the other processes but database and estate.
ENGINE = """
import sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlalchemy.exc import DBAPIError
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.operate.engine import Engine
from polyvisor.operate.kinds import KINDS
from polyvisor.operate.step_run import StepRun, run_step
from polyvisor.operate.tools import ControlTools
from polyvisor.store.database import Database
from polyvisor.store.outage import was_undone
from tests.operate.cloud import EXACT, NO_RESERVE
url, folder, hosts = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
database = Database(url)
settings = SimulatedSettings(hosts=hosts, vcpus=4, memory_mib=2048, disk_gib=4)
driver = SimulatedDriver("sim", settings, folder / "simulated.db")
engine = Engine(KINDS, ControlTools(NO_RESERVE, EXACT))
lost = 0
print("ready", flush=True)
sys.stdin.readline()
reports = ()
while True:
    now = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=time.monotonic() - float(sys.argv[4]))
    try:
        with database.write() as store:
            leases = engine.turn(store, now, owner=sys.argv[5], places=["sim"], reports=reports, most=3)
    except DBAPIError as error:
        if not was_undone(error):
            raise
        lost += 1
        continue
    reports = tuple(run_step(StepRun(lease), KINDS, driver, object(), now) for lease in leases)
    if not reports:
        with database.read() as store:
            if not store.operation.busy_targets():
                break
        time.sleep(0.01)
print(lost, flush=True)
database.close()
driver.close()
"""


def test_two_processes_place_servers_on_full_hosts_and_take_no_step_twice(tmp_path: Path, postgresql_url: str) -> None:
    """There is room for every server and for none more, so that one claim that is counted twice is found."""
    hosts = SERVERS // 4
    settings = SimulatedSettings(hosts=hosts, vcpus=4, memory_mib=2048, disk_gib=4)
    cloud = Cloud(tmp_path, settings, database_url=postgresql_url)
    ids = [cloud.ask_for_server(f"server-{number}") for number in range(SERVERS)]
    began = str(time.monotonic())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ENGINE, postgresql_url, str(tmp_path), str(hosts), began, f"engine-{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for number in range(2)
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        wait_for(lambda: all(p.poll() is not None for p in processes), PATIENCE_SECONDS, lambda: "they do not end")
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    assert [cloud.server(id).vm_state for id in ids] == [VmState.ACTIVE] * SERVERS
    everything = cloud.everything()
    assert [used[1:] for used in everything["used"]] == [(4, 2048, 4, 4)] * hosts
    assert len(everything["claims"]) == len(everything["guests"]) == SERVERS
    takers: Counter[str] = Counter()
    for row in cloud.operations():
        assert row.state is OperationState.DONE
        # One line of the journal for each step: no claim lost to another's, and no step was done by both.
        assert [entry.step for entry in row.journal] == ["claim", "prepare_image", "make", "boot", "finish"]
        takers[row.kind] += 1
    assert takers == {"server.create": SERVERS}
    cloud.close()
