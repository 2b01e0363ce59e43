"""A small cloud of real processes under load: each fault is made, and all books are right after it.

The load and everything else that is chosen follow from SEED. What a fault does is in `ha/faults.py`, which `make ha`
uses on real hypervisors.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ha import faults, story
from ha.cloud import Cloud
from ha.database import Databases
from ha.fault import CUT_OFF, KILLED, PATIENCE_SECONDS, STOPPED, Fault, Scene
from ha.faults import ActiveAgentFault, ClockFault, DatabaseFault, HostFault, PartitionFault, ServerFault
from ha.holds import HoldsWatch
from ha.load import Load, Wish
from ha.probe import Probe
from testbed.netns import Network
from tests.ha.simulated import ACTIVE_AND_STANDBY, ALONE, HOSTS, SHARED, SimulatedHypervisors

pytestmark = pytest.mark.xdist_group("ha")

SEED = 4
SERVERS = ("server-1", "server-2")
DATABASES = ("database-1", "database-2")
HOUR = 3600
FLAVOR = "42"
USERS = 3
PAUSE_SECONDS = 0.4
SLOWNESS = 4
"""How many times what is promised a loaded machine may take: `make ha` measures the promise itself."""
FAULTS: tuple[Fault, ...] = (
    ServerFault("server-1", KILLED),
    ServerFault("server-2", STOPPED),
    PartitionFault("server-1", "database-1"),
    PartitionFault(ALONE, "server-1"),
    ActiveAgentFault(KILLED, SHARED),
    ActiveAgentFault(STOPPED, SHARED),
    ActiveAgentFault(CUT_OFF, SHARED),
    HostFault(ALONE, KILLED),
    ClockFault("server-2", HOUR),
    ClockFault("server-1", -HOUR),
    ClockFault(ALONE, HOUR),
    DatabaseFault(STOPPED),
    DatabaseFault(KILLED),
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two servers, a database with its standby, three agents; clocks that can be made to jump."""
    folder = tmp_path_factory.mktemp("ha")
    with ExitStack() as stack:
        # So small a cloud is soon loaded, and its users soon meet a server's absence.
        shorter = stack.enter_context(pytest.MonkeyPatch.context())
        shorter.setattr(story, "LOADED_SECONDS", 1.5)
        shorter.setattr(faults, "OUTAGE_SECONDS", 3.0)
        network = stack.enter_context(Network(*SERVERS, *DATABASES, *ACTIVE_AND_STANDBY, ALONE))
        databases = stack.enter_context(Databases(network, DATABASES))
        hypervisors = SimulatedHypervisors(folder)
        made = Cloud(network, folder, databases.url, SERVERS, hypervisors.plans(), with_proxy=False, with_clocks=True)
        cloud = stack.enter_context(made)
        cloud.wait_for_hosts(HOSTS)
        cloud.allow(100)
        image = cloud.upload_image("image", bytes(1 << 20))
        wishes = [Wish(user=f"user-{number}", image_id=image, flavor_id=FLAVOR) for number in range(USERS)]
        load = Load(cloud.client, wishes, SEED, PAUSE_SECONDS)
        stack.callback(load.stop)
        probe, holds = Probe(cloud.client()), HoldsWatch(databases.url)
        for watcher in (probe, holds):
            watcher.start()
            stack.callback(watcher.stop)
        yield Scene(cloud, databases, hypervisors, holds, load, probe)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.part} {fault.way}".replace(" ", "-"))
def test_after_a_fault_under_load_all_books_are_right(scene: Scene, fault: Fault) -> None:
    print(f"SEED={SEED}")
    outcome = story.strike(scene, fault)
    story.tell(0, 0, outcome)
    assert outcome.complaints == []
    assert outcome.requests > 0
    most_seconds = SLOWNESS * (fault.limit_seconds or PATIENCE_SECONDS)
    assert outcome.takeover_seconds < most_seconds, f"{fault.title}: {outcome.takeover_seconds:.1f} s"


def test_the_schedule_of_faults_follows_from_the_seed_alone(scene: Scene) -> None:
    def drawn(seed: int) -> list[str]:
        return [f"{fault.part} {fault.way}" for fault in faults.schedule(scene.cloud, seed)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert sorted(drawn(1)) == sorted(drawn(2))
