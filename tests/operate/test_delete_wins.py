"""A deletion that was asked for is not forgotten, whatever else was being done to its server."""

import msgspec
import pytest

from polyvisor.model.order import ServerReboot, ServerTarget
from polyvisor.model.server import TaskState, VmState
from polyvisor.operate import evacuation
from tests.operate.cloud import Cloud


@pytest.mark.parametrize("kind", ["server.reboot", "server.stop"])
def test_what_a_deletion_has_stopped_does_not_clear_its_task_state(cloud: Cloud, kind: str) -> None:
    id = cloud.ask_for_server()
    cloud.settle()
    args = ServerReboot(server_id=id, hard=False) if kind == "server.reboot" else ServerTarget(server_id=id)
    cloud.begin(kind, id, args)
    leases = cloud.turn()
    cloud.ask_for_end(id)
    with cloud.database.write() as store:
        store.server.change(id, task_state=TaskState.DELETING)
    cloud.turn(cloud.work(leases), most=0)
    cloud.turn(most=0)
    assert [row.kind for row in cloud.unfinished()] == ["server.delete"]
    assert cloud.server(id).task_state is TaskState.DELETING
    cloud.settle()
    assert cloud.server(id).vm_state is VmState.DELETED


def test_a_server_that_waits_for_its_end_is_not_evacuated(cloud: Cloud) -> None:
    id = cloud.ask_for_server()
    cloud.settle()
    cloud.ask_for_end(id)
    record = msgspec.structs.replace(cloud.server(id), task_state=None)  # as an administrator may have reset it
    with cloud.database.read() as store:
        assert evacuation.refusal(store, record, shared=False) == "It is being deleted."
