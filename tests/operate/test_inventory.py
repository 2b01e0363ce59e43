"""What hypervisors say of themselves becomes true in the store, and nothing else does."""

from datetime import timedelta

import msgspec
import pytest

from polyvisor.model.guest import GuestReport
from polyvisor.model.host import HostState
from polyvisor.model.link import Glimpse, Inventory
from polyvisor.model.power import Power
from polyvisor.model.server import VmState
from polyvisor.operate import inventory
from polyvisor.operate.reconcile import forgotten_image, orphaned_claim
from tests.operate.cloud import IMAGE, Cloud


def active(cloud: Cloud) -> str:
    """A server that runs."""
    id = cloud.ask_for_server()
    cloud.settle()
    return id


def unreachable(cloud: Cloud) -> None:
    """The connection is silent."""
    with cloud.database.write() as store:
        found = Inventory(place="sim", since=cloud.now, unreachable="vCenter is gone.")
        inventory.take(store, cloud.engine.tools, found, cloud.now)


def test_a_host_that_joins_falls_into_its_kinds_aggregate(cloud: Cloud) -> None:
    with cloud.database.read() as store:
        [aggregate] = store.aggregate.list()
    assert (aggregate.name, aggregate.hosts) == ("simulated", ("sim-0001",))


def test_an_unchanged_inventory_changes_nothing_for_the_scheduler(cloud: Cloud) -> None:
    with cloud.database.read() as store:
        before = store.change.value("host")
    cloud.take_inventory()
    with cloud.database.read() as store:
        assert store.change.value("host") == before


@pytest.mark.parametrize(
    ("power", "state"),
    [
        (Power.OFF, VmState.STOPPED),
        (Power.PAUSED, VmState.PAUSED),
        (Power.SUSPENDED, VmState.SUSPENDED),
        (Power.CRASHED, VmState.STOPPED),
    ],
)
def test_a_power_change_behind_our_back_is_taken_over(cloud: Cloud, power: Power, state: VmState) -> None:
    id = active(cloud)
    cloud.simulated.change_behind_our_back(id, power)
    cloud.take_inventory()
    server = cloud.server(id)
    assert (server.power, server.vm_state) == (power, state)


def fenced(cloud: Cloud, id: str) -> Inventory:
    """The first look of an agent that was cut off, and has turned its guest off meanwhile."""
    cloud.simulated.change_behind_our_back(id, Power.OFF)
    cloud.now += timedelta(seconds=1)
    guests = tuple(msgspec.structs.replace(guest, fenced=guest.server_id == id) for guest in cloud.driver.guests())
    found = Inventory(place="sim", since=cloud.now, hosts=tuple(cloud.driver.hosts()), guests=guests)
    cloud.now += timedelta(seconds=1)
    return found


def take(cloud: Cloud, found: Inventory) -> None:
    """It arrives."""
    with cloud.database.write() as store:
        inventory.take(store, cloud.engine.tools, found, cloud.now)


def test_what_a_fence_has_turned_off_is_started_again(cloud: Cloud) -> None:
    id = active(cloud)
    found = fenced(cloud, id)
    take(cloud, found)
    take(cloud, found)  # told twice, for the answer to the first was lost
    assert [row.kind for row in cloud.unfinished()] == ["server.start"]
    cloud.settle()
    server = cloud.server(id)
    assert (server.vm_state, server.power, server.task_state) == (VmState.ACTIVE, Power.ON, None)


def test_what_its_user_had_stopped_stays_off_after_a_fence(cloud: Cloud) -> None:
    id = active(cloud)
    cloud.simulated.change_behind_our_back(id, Power.OFF)
    cloud.take_inventory()
    take(cloud, fenced(cloud, id))
    assert cloud.unfinished() == []
    assert cloud.server(id).vm_state is VmState.STOPPED


def test_what_a_fence_has_turned_off_can_be_deleted(cloud: Cloud) -> None:
    id = active(cloud)
    found = fenced(cloud, id)
    cloud.ask_for_end(id)
    take(cloud, found)
    assert [row.kind for row in cloud.unfinished()] == ["server.delete"]
    cloud.settle()
    assert cloud.server(id).deleted_at is not None


def test_a_guest_that_somebody_removed_is_said_to_be_gone(cloud: Cloud) -> None:
    id = active(cloud)
    cloud.simulated.change_behind_our_back(id, None)
    cloud.take_inventory()
    server = cloud.server(id)
    assert server.vm_state is VmState.ERROR
    assert server.fault is not None
    assert "no longer on sim-0001" in server.fault.message

    cloud.ask_for_end(id)
    cloud.settle()
    assert cloud.server(id).deleted_at is not None


def test_an_inventory_from_before_a_change_does_not_undo_it(cloud: Cloud) -> None:
    """The look began before the server was made: that it is not listed says nothing."""
    since = cloud.now
    hosts = tuple(cloud.driver.hosts())
    id = active(cloud)
    with cloud.database.write() as store:
        inventory.take(
            store,
            cloud.engine.tools,
            Inventory(place="sim", since=since, hosts=hosts),
            cloud.now + timedelta(seconds=1),
        )
    assert cloud.server(id).vm_state is VmState.ACTIVE


def test_a_server_with_an_operation_is_left_to_it(cloud: Cloud) -> None:
    id = active(cloud)
    cloud.simulated.change_behind_our_back(id, Power.OFF)
    cloud.ask_for_end(id)
    cloud.take_inventory()
    assert cloud.server(id).vm_state is VmState.ACTIVE


def test_power_is_unknown_rather_than_a_lie_while_nobody_answers(cloud: Cloud) -> None:
    id = active(cloud)
    unreachable(cloud)
    with cloud.database.read() as store:
        host = store.host.get("sim-0001")
    assert (host.state, host.state_reason) == (HostState.DOWN, "vCenter is gone.")
    server = cloud.server(id)
    assert (server.power, server.vm_state) == (Power.UNKNOWN, VmState.ACTIVE)

    cloud.take_inventory()
    with cloud.database.read() as store:
        assert store.host.get("sim-0001").state is HostState.UP
    assert cloud.server(id).power is Power.ON


def test_a_silent_host_gets_no_servers(cloud: Cloud) -> None:
    unreachable(cloud)
    id = cloud.ask_for_server()
    cloud.settle()
    fault = cloud.server(id).fault
    assert fault is not None
    assert "down" in fault.message
    assert "sim-0001" in fault.details


def test_a_host_that_is_no_longer_listed_leaves_when_it_is_empty(cloud: Cloud) -> None:
    with cloud.database.write() as store:
        inventory.take(store, cloud.engine.tools, Inventory(place="sim", since=cloud.now), cloud.now)
    with cloud.database.read() as store:
        assert store.host.list() == []
        assert store.aggregate.list()[0].hosts == ()
    cloud.take_inventory()
    assert cloud.server(active(cloud)).host == "sim-0001"


def test_a_host_that_is_no_longer_listed_stays_while_it_holds_servers(cloud: Cloud) -> None:
    active(cloud)
    with cloud.database.write() as store:
        inventory.take(store, cloud.engine.tools, Inventory(place="sim", since=cloud.now), cloud.now)
    with cloud.database.read() as store:
        host = store.host.get("sim-0001")
    assert host.state is HostState.DOWN
    assert "still holds servers" in host.state_reason


def test_a_glimpse_of_a_change_is_taken_over_at_once(cloud: Cloud) -> None:
    id = active(cloud)
    guest = GuestReport(server_id=id, name="one", host="sim-0001", member="esx-2", power=Power.OFF)
    with cloud.database.write() as store:
        seen = Glimpse(place="sim", since=cloud.now + timedelta(seconds=1), server_id=id, guest=guest)
        inventory.take_glimpse(store, seen, cloud.now)
    server = cloud.server(id)
    assert (server.power, server.member, server.vm_state) == (Power.OFF, "esx-2", VmState.STOPPED)


def test_foreign_guests_are_nobodys_servers(cloud: Cloud) -> None:
    id = active(cloud)
    guests = (
        *cloud.driver.guests(),
        GuestReport(server_id=None, name="somebody else's", host="sim-0001", power=Power.ON),
    )
    with cloud.database.write() as store:
        found = Inventory(place="sim", since=cloud.now, hosts=tuple(cloud.driver.hosts()), guests=guests)
        inventory.take(store, cloud.engine.tools, found, cloud.now)
    assert cloud.server(id).vm_state is VmState.ACTIVE


def test_a_claim_without_a_server_is_given_back(cloud: Cloud) -> None:
    id = active(cloud)
    with cloud.database.write() as store:
        store.server.change(id, deleted_at=cloud.now)
        assert orphaned_claim.sweep(store) == [id]
    assert cloud.everything()["claims"] == []
    assert cloud.everything()["used"] == [("sim-0001", 0, 0, 0, 0)]


def test_a_claim_with_an_operation_is_left_alone(cloud: Cloud) -> None:
    id = active(cloud)
    cloud.ask_for_end(id)
    with cloud.database.write() as store:
        store.server.change(id, deleted_at=cloud.now)
        assert orphaned_claim.sweep(store) == []


def test_copies_of_a_deleted_image_are_removed_from_its_hosts(cloud: Cloud) -> None:
    id = active(cloud)
    cloud.take_inventory()
    assert cloud.simulated.estate.images("sim-0001") == {IMAGE.id}

    with cloud.database.write() as store:
        assert forgotten_image.sweep(store, cloud.now, cloud.new_id) == ["sim-0001"]
        assert forgotten_image.sweep(store, cloud.now, cloud.new_id) == [], "one at a time"
    cloud.settle()

    assert cloud.simulated.estate.images("sim-0001") == frozenset()
    assert cloud.server(id).vm_state is VmState.ACTIVE


def test_a_warning_of_a_host_is_logged_when_it_comes(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    [report] = cloud.driver.hosts()
    warned = msgspec.structs.replace(report, warnings=("DRS is off: set it to fully automated.",))
    for _ in range(2):
        with cloud.database.write() as store:
            inventory.take(
                store, cloud.engine.tools, Inventory(place="sim", since=cloud.now, hosts=(warned,)), cloud.now
            )
    assert caplog.text.count("DRS is off") == 1
