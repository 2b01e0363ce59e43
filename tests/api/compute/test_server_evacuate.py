"""Evacuation through the API: who may ask for it, of what, and what is recorded; and the migrations that it lists."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from polyvisor.model.host import Datastore, HostState
from polyvisor.model.image import ImageStatus
from polyvisor.model.migration import Migration, MigrationStatus, MigrationType
from polyvisor.model.order import ServerEvacuate
from polyvisor.model.server import Server, TaskState, VmState
from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud
from tests.api.compute import estate
from tests.api.compute.conftest import at
from tests.api.compute.test_server import IMAGE

SERVERS = "/compute/v2.1/servers"
MIGRATIONS = "/compute/v2.1/os-migrations"
DISK = Datastore(name="instances", kind="dir", capacity_bytes=1, free_bytes=1)
SHARED = msgspec.structs.replace(DISK, id="1", marks=frozenset({"kvm-1", "kvm-2"}))


def make(cloud: ApiCloud, *, shared: bool = False, **values: Any) -> Server:
    """Two hosts, the first of them down, and a server on it."""
    stores = {"datastores": (SHARED if shared else DISK,)}
    down = {"state": HostState.DOWN, "state_reason": "Its agent is silent."}
    from polyvisor.api.compute.server_create import image_ref

    project = cloud.project_id("demo")
    server = estate.server(
        "one", project, **{"image": image_ref(IMAGE), "host": "kvm-1", "place": "here", "config_drive": True, **values}
    )
    estate.put(
        cloud.database,
        estate.host("kvm-1", **down, report=stores),
        estate.host("kvm-2", place="there", report=stores),
        server,
    )
    with cloud.database.write() as store:
        store.image.create(IMAGE)
    return server


def evacuate(client: ApiClient, server: Server, version: str = "2.95", **body: Any) -> Answer:
    """Ask for it."""
    return at(client, version).post(f"{SERVERS}/{server.id}/action", {"evacuate": body})


def ordered(cloud: ApiCloud, server: Server) -> ServerEvacuate:
    """What was asked of the engine."""
    with cloud.database.read() as store:
        [row] = store.operation.of_target(server.id)
    assert row.kind == "server.evacuate"
    return msgspec.convert(row.args, ServerEvacuate)


def test_it_is_recorded_and_shown_as_a_rebuild(cloud: ApiCloud) -> None:
    server = make(cloud)
    answer = evacuate(cloud.admin, server)
    assert (answer.status, answer.content) == (200, b"")
    shown = cloud.admin.get(f"{SERVERS}/{server.id}").body["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("REBUILD", "rebuilding")
    order = ordered(cloud, server)
    assert (order.server.id, order.project_name, order.host, order.force) == (server.id, "demo", None, False)
    [action] = cloud.admin.get(f"{SERVERS}/{server.id}/os-instance-actions").body["instanceActions"]
    assert action["action"] == "evacuate"
    listed = cloud.admin.get(f"{SERVERS}?status=REBUILD&all_tenants=1").body["servers"]
    assert [each["id"] for each in listed] == [server.id]


@pytest.mark.parametrize(
    ("version", "body", "force", "stay_stopped"),
    [
        ("2.1", {"onSharedStorage": "False", "host": "kvm-2"}, True, False),
        ("2.13", {"onSharedStorage": False}, False, False),
        ("2.14", {"host": "kvm-2"}, True, False),
        ("2.29", {"host": "kvm-2"}, False, False),
        ("2.67", {"host": "kvm-2", "force": True}, True, False),
        ("2.68", {"host": "kvm-2"}, False, False),
        ("2.94", {}, False, False),
        ("2.95", {}, False, True),
    ],
)
def test_each_microversion_has_its_fields(
    cloud: ApiCloud, version: str, body: dict[str, Any], force: bool, stay_stopped: bool
) -> None:
    server = make(cloud)
    answer = evacuate(cloud.admin, server, version, **body)
    assert answer.status == 200
    order = ordered(cloud, server)
    assert (order.host, order.force, order.stay_stopped) == (body.get("host"), force, stay_stopped)
    if version in ("2.1", "2.13"):
        assert answer.body["adminPass"] == order.admin_password != ""
    else:
        assert answer.content == b""


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("2.1", {}),
        ("2.13", {"host": "kvm-2"}),
        ("2.14", {"onSharedStorage": False}),
        ("2.28", {"host": "kvm-2", "force": True}),
        ("2.29", {"force": True}),
        ("2.68", {"host": "kvm-2", "force": False}),
        ("2.95", {"host": ""}),
        ("2.95", {"targetState": "stopped"}),
        ("2.95", {"host": "kvm-1"}),
        ("2.13", {"onSharedStorage": True}),
        ("2.13", {"onSharedStorage": "perhaps"}),
    ],
)
def test_what_makes_no_sense_is_refused(cloud: ApiCloud, version: str, body: dict[str, Any]) -> None:
    server = make(cloud)
    assert evacuate(cloud.admin, server, version, **body).status == 400
    with cloud.database.read() as store:
        assert store.operation.of_target(server.id) == []


def test_a_host_that_is_up_is_still_in_use(cloud: ApiCloud) -> None:
    server = make(cloud)
    with cloud.database.write() as store:
        store.host.save_report("kvm-1", store.host.get("kvm-1").report, "here", estate.NOW)
    answer = evacuate(cloud.admin, server)
    assert answer.status == 400
    assert "Compute service of kvm-1 is still in use" in answer.content.decode()


def test_an_unknown_target_is_not_found(cloud: ApiCloud) -> None:
    assert evacuate(cloud.admin, make(cloud), host="nowhere").status == 404
    assert at(cloud.admin, "2.95").post(f"{SERVERS}/nothing/action", {"evacuate": {}}).status == 404


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"vm_state": VmState.ACTIVE}, 200),
        ({"vm_state": VmState.STOPPED}, 200),
        ({"vm_state": VmState.ERROR}, 200),
        ({"vm_state": VmState.ACTIVE, "task_state": TaskState.REBOOTING}, 200),
        ({"vm_state": VmState.PAUSED}, 409),
        ({"vm_state": VmState.SUSPENDED}, 409),
        ({"vm_state": VmState.BUILDING}, 409),
        ({"vm_state": VmState.ACTIVE, "task_state": TaskState.REBUILDING}, 409),
        ({"vm_state": VmState.ACTIVE, "task_state": TaskState.DELETING}, 409),
        ({"vm_state": VmState.ERROR, "host": None, "place": None}, 409),
    ],
)
def test_states_decide(cloud: ApiCloud, values: dict[str, Any], status: int) -> None:
    assert evacuate(cloud.admin, make(cloud, **values)).status == status


def test_only_administrators_may(cloud: ApiCloud) -> None:
    server = make(cloud)
    assert evacuate(cloud.member, server).status == 403
    assert cloud.member.get(MIGRATIONS).status == 403
    assert at(cloud.member, "2.23").get(f"{SERVERS}/{server.id}/migrations").status == 403


def test_disks_that_others_share_are_kept_and_no_password_is_set(cloud: ApiCloud) -> None:
    server = make(cloud, shared=True)
    assert evacuate(cloud.admin, server, "2.13", onSharedStorage=False).status == 400
    assert evacuate(cloud.admin, server, "2.13", onSharedStorage=True, adminPass="new").status == 400
    answer = evacuate(cloud.admin, server, "2.13", onSharedStorage=True)
    assert answer.body == {"adminPass": None}
    assert ordered(cloud, server).admin_password == ""


@pytest.mark.parametrize("shared", [False, True])
def test_a_server_whose_image_is_gone_needs_its_disks(cloud: ApiCloud, shared: bool) -> None:
    server = make(cloud, shared=shared)
    with cloud.database.write() as store:
        store.image.update(store.image.get(IMAGE.id), {"status": ImageStatus.DEACTIVATED}, estate.NOW)
    answer = evacuate(cloud.admin, server)
    assert answer.status == (200 if shared else 409)
    assert shared or "image" in answer.content.decode()


def put_migrations(cloud: ApiCloud, server: Server, count: int = 3) -> list[str]:
    """Migrations, each a minute later than the one before; returns their uuids."""
    with cloud.database.write() as store:
        for number in range(count):
            now = estate.NOW + timedelta(minutes=number)
            store.migration.record(
                Migration(
                    id=0, uuid=f"00000000-0000-4000-8000-00000000000{number}", server_id=server.id,
                    project_id=server.project_id, user_id="someone", type=MigrationType.EVACUATION,
                    status=MigrationStatus.DONE if number else MigrationStatus.PREPARING, source_host="kvm-1",
                    source_place="here", target_host="kvm-2", target_place="there", target_address="192.0.2.7",
                    created_at=now, updated_at=now,
                ),
                server.flavor.id,
            )  # fmt: skip
    return [f"00000000-0000-4000-8000-00000000000{number}" for number in range(count)]


def test_migrations_are_listed_as_nova_lists_them(cloud: ApiCloud) -> None:
    server = make(cloud)
    put_migrations(cloud, server, 1)
    old = {
        "id", "instance_uuid", "old_instance_type_id", "new_instance_type_id", "status", "source_compute",
        "source_node", "dest_compute", "dest_node", "dest_host", "created_at", "updated_at",
    }  # fmt: skip
    [first] = at(cloud.admin, "2.1").get(MIGRATIONS).body["migrations"]
    assert set(first) == old
    assert (first["source_compute"], first["dest_compute"], first["dest_host"]) == ("kvm-1", "kvm-2", "192.0.2.7")
    for version, added in (
        ("2.23", {"migration_type"}),
        ("2.59", {"migration_type", "uuid"}),
        ("2.80", {"migration_type", "uuid", "user_id", "project_id"}),
    ):
        [shown] = at(cloud.admin, version).get(MIGRATIONS).body["migrations"]
        assert set(shown) == old | added
        assert shown["migration_type"] == "evacuation"
    [running] = at(cloud.admin, "2.80").get(f"{SERVERS}/{server.id}/migrations").body["migrations"]
    assert running["server_uuid"] == server.id
    assert {"memory_total_bytes", "disk_remaining_bytes", "uuid", "project_id"} <= set(running)
    one = at(cloud.admin, "2.80").get(f"{SERVERS}/{server.id}/migrations/{running['id']}")
    assert one.body == {"migration": running}
    assert at(cloud.admin, "2.80").get(f"{SERVERS}/{server.id}/migrations/999").status == 404
    assert at(cloud.admin, "2.22").get(f"{SERVERS}/{server.id}/migrations").status == 404


def test_migrations_come_in_pages_and_can_be_narrowed(cloud: ApiCloud) -> None:
    server = make(cloud)
    uuids = put_migrations(cloud, server)
    admin = at(cloud.admin, "2.80")
    page = admin.get(f"{MIGRATIONS}?limit=2").body
    assert [each["uuid"] for each in page["migrations"]] == uuids[:0:-1]
    [following] = page["migrations_links"]
    assert following["rel"] == "next"
    rest = admin.get(f"{MIGRATIONS}?limit=2&marker={uuids[1]}").body
    assert [each["uuid"] for each in rest["migrations"]] == uuids[:1]
    assert admin.get(f"{MIGRATIONS}?marker=none").status == 400
    assert admin.get(f"{MIGRATIONS}?nonsense=1").status == 400
    assert admin.get(f"{MIGRATIONS}?changes-since=2026-01-02T03:06:00&changes-before=2026-01-02T03:05:00").status == 400
    for query, count in (
        ("status=done", 2),
        ("status=nonsense", 0),
        ("host=kvm-2", 3),
        ("source_compute=kvm-2", 0),
        (f"instance_uuid={server.id}", 3),
        ("migration_type=evacuation", 3),
        ("migration_type=live-migration", 0),
        ("user_id=someone", 3),
        ("user_id=another", 0),
        ("changes-since=2026-01-02T03:06:05", 1),
        ("changes-before=2026-01-02T03:04:05", 1),
    ):
        assert len(admin.get(f"{MIGRATIONS}?{query}").body["migrations"]) == count, query


def test_the_list_of_migrations_is_one_statement_however_long(cloud: ApiCloud) -> None:
    server = make(cloud)
    counts = []
    for number in (1, 9):
        with cloud.database.write() as store:
            store.migration.forget_servers([server.id])
        put_migrations(cloud, server, number)
        statements: list[str] = []

        def listen(_c: Any, _u: Any, statement: str, *_rest: Any, seen: list[str] = statements) -> None:
            seen.append(statement)

        event.listen(cloud.database.engine, "before_cursor_execute", listen)
        at(cloud.admin, "2.80").get(MIGRATIONS)
        event.remove(cloud.database.engine, "before_cursor_execute", listen)
        counts.append(len([each for each in statements if "FROM migration" in each]))
    assert counts == [1, 1]
