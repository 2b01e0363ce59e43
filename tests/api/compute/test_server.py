"""Servers through the API: what is asked for is checked, recorded with its operation, and shown by version."""

import base64
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from polyvisor.model.host import HypervisorType
from polyvisor.model.image import Image, ImageStatus, Visibility
from polyvisor.model.server import TaskState, VmState
from tests.api.client import ApiClient
from tests.api.cloud import ApiCloud
from tests.api.compute import estate
from tests.api.compute.conftest import at

SERVERS = "/compute/v2.1/servers"
IMAGE = Image(
    id="aaaaaaaa-0000-4000-8000-000000000001",
    name="image",
    owner="nobody",
    status=ImageStatus.ACTIVE,
    visibility=Visibility.PUBLIC,
    disk_format="qcow2",
    container_format="bare",
    size_bytes=1024,
    virtual_size_bytes=3 * 1024**3,
    hash_value="00",
    min_ram_mib=256,
    created_at=estate.NOW,
    updated_at=estate.NOW,
)
ANOTHER_ID = "99999999-0000-4000-8000-000000000001"


@pytest.fixture
def ready(cloud: ApiCloud) -> ApiCloud:
    """A cloud with an image, the first flavors and a host."""
    with cloud.database.write() as store:
        store.image.create(IMAGE)
        store.image.create(
            msgspec.structs.replace(
                IMAGE, id="aaaaaaaa-0000-4000-8000-000000000002", status=ImageStatus.QUEUED, size_bytes=None
            )
        )
        store.flavor.bootstrap(estate.NOW)
        store.host.join([estate.host("kvm-1")])
    return cloud


def asked(**fields: Any) -> dict[str, Any]:
    """A body that is taken, with some fields replaced."""
    return {"server": {"name": "one", "imageRef": IMAGE.id, "flavorRef": "2", **fields}}


def create(client: ApiClient, **fields: Any) -> Any:
    """Ask for a server."""
    return client.post(SERVERS, asked(**fields))


def created(client: ApiClient, **fields: Any) -> str:
    """Ask for a server that must be accepted; returns its id."""
    answer = create(client, **fields)
    assert answer.status == 202, answer.body
    return str(answer.body["server"]["id"])


def put(cloud: ApiCloud, name: str = "there", project: str = "demo", **values: Any) -> str:
    """A server as it is once its create has ended."""
    record = estate.server(name, cloud.project_id(project), **values)
    with cloud.database.write() as store:
        store.server.create([record])
    return record.id


# Create


def test_a_server_and_its_operation_are_recorded_together(ready: ApiCloud) -> None:
    id = created(ready.member, metadata={"a": "b"}, user_data=base64.b64encode(b"#!/bin/sh").decode())
    with ready.database.read() as store:
        server = store.server.get(id)
        [operation] = store.operation.of_target(id)
    assert (server.vm_state, server.task_state, server.status) == (VmState.BUILDING, TaskState.SCHEDULING, "BUILD")
    assert operation.kind == "server.create"
    assert operation.args["request"]["memory_mib"] == server.flavor.memory_mib
    assert operation.args["request"]["disk_gib"] == 20


def test_the_password_is_kept_only_for_a_guest_that_can_read_it(ready: ApiCloud) -> None:
    plain = created(ready.member, adminPass="secret-one")
    driven = created(ready.member, adminPass="secret-two", config_drive=True)
    with ready.database.read() as store:
        assert "secret-one" not in str(store.operation.of_target(plain)[0].args)
        assert store.operation.of_target(driven)[0].args["admin_password"] == "secret-two"


def test_several_servers_are_numbered(ready: ApiCloud) -> None:
    answer = create(ready.member, min_count=2, max_count=3, return_reservation_id=True)
    assert answer.status == 202
    names = [each["name"] for each in ready.member.get(SERVERS).body["servers"]]
    assert sorted(names) == ["one-1", "one-2", "one-3"]
    assert answer.body["reservation_id"].startswith("r-")


@pytest.mark.parametrize(
    ("name", "hostname"),
    [("Web Server.1", "web-server-1"), ("ünï_x", "n-x"), ("日本", None), ("-a-", "a"), ("a" * 80, "a" * 63)],
)
def test_a_hostname_is_made_of_the_name(ready: ApiCloud, name: str, hostname: str | None) -> None:
    id = created(ready.member, name=name)
    with ready.database.read() as store:
        assert store.server.get(id).hostname == (hostname or f"server-{id}")


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"name": ""}, 400, "server.name"),
    ({"name": "x" * 256}, 400, "server.name"),
    ({"name": " x"}, 400, "server.name"),
    ({"name": 5}, 400, "server.name"),
    ({"flavorRef": "none"}, 400, "Flavor none could not be found"),
    ({"imageRef": ANOTHER_ID}, 400, "Can not find requested image"),
    ({"imageRef": ""}, 400, "imageRef"),
    ({"imageRef": "aaaaaaaa-0000-4000-8000-000000000002"}, 400, "is not active"),
    ({"flavorRef": "1"}, 400, "disk is too small"),
    ({"flavorRef": "42"}, 400, "memory is too small"),
    ({"key_name": "nobody's"}, 400, "Invalid key_name provided"),
    ({"user_data": "not base64!"}, 400, "server.user_data"),
    ({"user_data": "A" * 65_536}, 400, "server.user_data"),
    ({"min_count": 3, "max_count": 2}, 400, "min_count must be <= max_count"),
    ({"min_count": 0}, 400, "server.min_count"),
    ({"min_count": "x"}, 400, "server.min_count"),
    ({"metadata": {"k": "v" * 256}}, 400, "server.metadata"),
    ({"metadata": {"k": 1}}, 400, "server.metadata"),
    ({"availability_zone": "moon"}, 400, "availability zone is not available"),
    ({"availability_zone": "nova:kvm-1"}, 403, "forced_host"),
    ({"networks": [{"uuid": ANOTHER_ID}]}, 400, "has no networking: ask for no network"),
    ({"block_device_mapping_v2": [{"source_type": "volume"}]}, 400, "no block storage yet"),
    ({"personality": [{"path": "/x", "contents": "eA=="}]}, 400, "personality"),
    ({"OS-DCF:diskConfig": "MAYBE"}, 400, "diskConfig"),
    ({"config_drive": "perhaps"}, 400, "perhaps"),
    ({"description": "begins at 2.19"}, 400, "server.description"),
    ({"tags": ["begins at 2.52"]}, 400, "server.tags"),
    ({"surprise": 1}, 400, "server.surprise"),
    ({"min_count": 11}, 403, "Quota exceeded"),
]


@pytest.mark.parametrize(("fields", "status", "words"), BAD)
def test_what_cannot_be_is_refused_with_a_sentence(
    ready: ApiCloud, fields: dict[str, Any], status: int, words: str
) -> None:
    answer = create(ready.member, **fields)
    assert answer.status == status, answer.body
    [fault] = answer.body.values()
    assert words in fault["message"]
    assert ready.member.get(SERVERS).body["servers"] == []


@pytest.mark.parametrize("networks", [None, "auto", [], "none"])
def test_networks_are_asked_for_from_2_37_on(ready: ApiCloud, networks: Any) -> None:
    fields = {} if networks is None else {"networks": networks}
    answer = create(at(ready.member, "2.37"), **fields)
    assert answer.status == (202 if networks in ("none", []) else 400), answer.body


def test_scheduler_hints_are_not_silently_ignored(ready: ApiCloud) -> None:
    answer = ready.member.post(SERVERS, {**asked(), "os:scheduler_hints": {"group": ANOTHER_ID}})
    assert answer.status == 400
    assert "hints" in answer.body["badRequest"]["message"]


def test_readers_and_strangers_create_nothing(ready: ApiCloud) -> None:
    assert create(ready.reader).status == 403
    assert create(ready.anyone).status == 401


def test_an_administrator_chooses_the_host(ready: ApiCloud) -> None:
    forced = created(ready.admin, availability_zone="nova:kvm-1")
    named = created(at(ready.admin, "2.74"), networks="none", host="kvm-1")
    with ready.database.read() as store:
        assert store.operation.of_target(forced)[0].args["request"]["force"] is True
        request = store.operation.of_target(named)[0].args["request"]
    assert (request["host"], request["force"]) == ("kvm-1", False)
    answer = create(at(ready.admin, "2.74"), networks="none", host="kvm-9")
    assert (answer.status, "kvm-9 could not be found" in answer.body["badRequest"]["message"]) == (400, True)


# Show and list


def test_a_foreign_server_looks_absent(ready: ApiCloud) -> None:
    id = put(ready)
    assert ready.member.get(f"{SERVERS}/{id}").status == 200
    assert ready.reader.get(f"{SERVERS}/{id}").status == 200
    assert ready.admin.get(f"{SERVERS}/{id}").status == 200
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("GET", "/metadata"), ("GET", "/os-instance-actions"),
    ):  # fmt: skip
        assert ready.other.request(method, f"{SERVERS}/{id}{path}").status == 404
    assert ready.other.post(f"{SERVERS}/{id}/action", {"os-start": None}).status == 404
    assert ready.other.get(SERVERS).body["servers"] == []


VERSIONS = [
    ("2.1", "locked", False), ("2.9", "locked", True), ("2.18", "description", False), ("2.19", "description", True),
    ("2.25", "tags", False), ("2.26", "tags", True), ("2.72", "locked_reason", False), ("2.73", "locked_reason", True),
    ("2.89", "OS-EXT-SRV-ATTR:hostname", False), ("2.90", "OS-EXT-SRV-ATTR:hostname", True),
]  # fmt: skip


@pytest.mark.parametrize(("version", "field", "there"), VERSIONS)
def test_a_field_begins_at_its_version(ready: ApiCloud, version: str, field: str, there: bool) -> None:
    id = put(ready)
    assert (field in at(ready.member, version).get(f"{SERVERS}/{id}").body["server"]) is there


def test_the_flavor_is_embedded_from_2_47_on(ready: ApiCloud) -> None:
    id = put(ready)
    assert at(ready.member, "2.46").get(f"{SERVERS}/{id}").body["server"]["flavor"]["id"] == "s"
    flavor = at(ready.member, "2.47").get(f"{SERVERS}/{id}").body["server"]["flavor"]
    assert (flavor["original_name"], flavor["vcpus"], "id" in flavor) == ("small", 2, False)


def test_only_administrators_see_the_host(ready: ApiCloud) -> None:
    id = put(ready, host="kvm-1", place="here")
    seen = ready.member.get(f"{SERVERS}/{id}").body["server"]
    assert "OS-EXT-SRV-ATTR:host" not in seen
    assert seen["hostId"] != ""
    assert "kvm-1" not in str(seen)
    admin = at(ready.admin, "2.16").get(f"{SERVERS}/{id}").body["server"]
    assert (admin["OS-EXT-SRV-ATTR:host"], admin["host_status"]) == ("kvm-1", "UP")


def test_a_list_costs_the_same_statements_for_one_and_for_many(ready: ApiCloud) -> None:
    put(ready)
    ready.member.get(SERVERS)  # from here on the caller is known
    few = ready.member.get(f"{SERVERS}/detail")
    for number in range(30):
        put(ready, f"more-{number}")
    many = ready.member.get(f"{SERVERS}/detail")
    assert (len(few.body["servers"]), len(many.body["servers"])) == (1, 31)
    assert few.statements == many.statements <= 3
    assert ready.member.get(f"{SERVERS}/{put(ready, 'last')}").statements <= 3
    ready.admin.get(SERVERS)
    admin = at(ready.admin, "2.16").get(f"{SERVERS}/detail?all_tenants=1")
    assert admin.statements <= 4


def test_creating_a_server_costs_few_statements(ready: ApiCloud) -> None:
    created(ready.member)
    assert create(ready.member).statements <= 10


def test_pages_follow_their_links(ready: ApiCloud) -> None:
    for number in range(5):
        put(ready, f"s{number}", created_at=estate.NOW + timedelta(seconds=number))
    seen: list[str] = []
    path: str | None = f"{SERVERS}?limit=2&sort_key=display_name&sort_dir=asc"
    while path:
        page = ready.member.get(path).body
        seen += [each["name"] for each in page["servers"]]
        link = [each["href"] for each in page.get("servers_links", []) if each["rel"] == "next"]
        path = link[0].partition("/compute/")[2] if link else None
        path = f"/compute/{path}" if path else None
    assert seen == ["s0", "s1", "s2", "s3", "s4"]


FILTERS = [
    ("status=ACTIVE", 1), ("status=error", 1), ("status=NONSENSE", 0), ("name=^bro", 1), ("name=o", 2),
    ("flavor=s", 2), ("flavor=2", 0), (f"image={ANOTHER_ID}", 0), ("ip=192.0.2.1", 0),
    ("changes-since=2026-01-03T00:00:00Z", 0),
]  # fmt: skip


@pytest.mark.parametrize(("query", "count"), FILTERS)
def test_lists_are_filtered(ready: ApiCloud, query: str, count: int) -> None:
    put(ready, "works, so")
    put(ready, "broken", vm_state=VmState.ERROR)
    assert len(ready.member.get(f"{SERVERS}?{query}").body["servers"]) == count


@pytest.mark.parametrize("query", ["host=kvm-1", "all_tenants=1", "status=DELETED", "deleted=1", "vm_state=active"])
def test_what_only_administrators_may_ask_is_refused_to_others(ready: ApiCloud, query: str) -> None:
    assert ready.member.get(f"{SERVERS}?{query}").status in (400, 403)
    assert ready.admin.get(f"{SERVERS}?{query}").status == 200


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=x",
        f"marker={ANOTHER_ID}",
        "sort_key=secret",
        "sort_dir=up&sort_key=uuid",
        "changes-since=soon",
    ],
)
def test_a_list_that_cannot_be_made_is_400(ready: ApiCloud, query: str) -> None:
    assert ready.member.get(f"{SERVERS}?{query}").status == 400


def test_a_fault_is_a_sentence_for_the_user_and_details_for_the_administrator(ready: ApiCloud) -> None:
    from polyvisor.model.server import Fault

    fault = Fault(code=500, message="No host can run this server.", details="kvm-1: full", created_at=estate.NOW)
    id = put(ready, vm_state=VmState.ERROR, fault=fault)
    assert "details" not in ready.member.get(f"{SERVERS}/{id}").body["server"]["fault"]
    assert ready.admin.get(f"{SERVERS}/{id}").body["server"]["fault"]["details"] == "kvm-1: full"


# Change


def test_a_server_is_renamed_and_described(ready: ApiCloud) -> None:
    id = put(ready)
    answer = at(ready.member, "2.19").put(f"{SERVERS}/{id}", {"server": {"name": "new", "description": None}})
    assert (answer.status, answer.body["server"]["name"]) == (200, "new")
    assert ready.member.put(f"{SERVERS}/{id}", {"server": {"name": "x" * 256}}).status == 400
    assert ready.reader.put(f"{SERVERS}/{id}", {"server": {"name": "new"}}).status == 403


def test_metadata_is_added_replaced_and_removed(ready: ApiCloud) -> None:
    base = f"{SERVERS}/{put(ready)}/metadata"
    assert ready.member.post(base, {"metadata": {"a": "1", "b": "2"}}).body == {"metadata": {"a": "1", "b": "2"}}
    assert ready.member.put(f"{base}/a", {"meta": {"a": "3"}}).body == {"meta": {"a": "3"}}
    assert ready.member.put(f"{base}/a", {"meta": {"b": "3"}}).status == 400
    assert ready.member.delete(f"{base}/b").status == 204
    assert ready.member.delete(f"{base}/b").status == 404
    assert ready.member.get(base).body == {"metadata": {"a": "3"}}
    assert ready.member.put(base, {"metadata": {}}).body == {"metadata": {}}
    many = {f"key-{number}": "" for number in range(129)}
    assert ready.member.put(base, {"metadata": many}).status == 403


ACTIONS = [
    ("os-start", VmState.STOPPED, TaskState.POWERING_ON, "server.start"),
    ("os-stop", VmState.ACTIVE, TaskState.POWERING_OFF, "server.stop"),
    ("pause", VmState.ACTIVE, TaskState.PAUSING, "server.pause"),
    ("unpause", VmState.PAUSED, TaskState.UNPAUSING, "server.unpause"),
    ("suspend", VmState.ACTIVE, TaskState.SUSPENDING, "server.suspend"),
    ("resume", VmState.SUSPENDED, TaskState.RESUMING, "server.resume"),
]


@pytest.mark.parametrize(("action", "state", "task", "kind"), ACTIONS)
def test_a_power_action_records_its_operation_and_no_second_one(
    ready: ApiCloud, action: str, state: VmState, task: TaskState, kind: str
) -> None:
    id = put(ready, vm_state=state)
    assert ready.reader.post(f"{SERVERS}/{id}/action", {action: None}).status == 403
    assert ready.member.post(f"{SERVERS}/{id}/action", {action: None}).status == 202
    with ready.database.read() as store:
        assert store.server.get(id).task_state is task
        assert [row.kind for row in store.operation.of_target(id)] == [kind]
    again = ready.member.post(f"{SERVERS}/{id}/action", {action: None})
    assert again.status == 409
    assert task.value in again.body["conflictingRequest"]["message"]


@pytest.mark.parametrize("action", [name for name, *_ in ACTIONS])
def test_a_power_action_in_the_wrong_state_is_409(ready: ApiCloud, action: str) -> None:
    id = put(ready, vm_state=VmState.BUILDING)
    assert ready.member.post(f"{SERVERS}/{id}/action", {action: None}).status == 409


def test_a_pause_on_vsphere_is_refused_before_it_is_tried(ready: ApiCloud) -> None:
    with ready.database.write() as store:
        store.host.join([estate.host("cluster", report={"hypervisor_type": HypervisorType.VMWARE})])
    id = put(ready, host="cluster", place="vc")
    answer = ready.member.post(f"{SERVERS}/{id}/action", {"pause": None})
    assert answer.status == 409
    assert "Suspend it instead" in answer.body["conflictingRequest"]["message"]


def test_reboots_are_soft_or_hard(ready: ApiCloud) -> None:
    active, off = put(ready), put(ready, "off", vm_state=VmState.STOPPED)
    assert ready.member.post(f"{SERVERS}/{off}/action", {"reboot": {"type": "SOFT"}}).status == 409
    assert ready.member.post(f"{SERVERS}/{off}/action", {"reboot": {"type": "HARD"}}).status == 202
    assert ready.member.post(f"{SERVERS}/{active}/action", {"reboot": {"type": "gentle"}}).status == 400
    assert ready.member.post(f"{SERVERS}/{active}/action", {"reboot": {"type": "SOFT"}}).status == 202
    assert ready.member.get(f"{SERVERS}/{active}").body["server"]["status"] == "REBOOT"
    assert ready.member.get(f"{SERVERS}/{off}").body["server"]["status"] == "HARD_REBOOT"


def test_a_locked_server_is_changed_by_administrators_alone(ready: ApiCloud) -> None:
    id = put(ready)
    lock = at(ready.member, "2.73").post(f"{SERVERS}/{id}/action", {"lock": {"locked_reason": "in use"}})
    assert lock.status == 202
    assert ready.member.post(f"{SERVERS}/{id}/action", {"os-stop": None}).status == 409
    assert ready.member.delete(f"{SERVERS}/{id}").status == 409
    assert ready.admin.post(f"{SERVERS}/{id}/action", {"os-stop": None}).status == 202
    assert ready.member.post(f"{SERVERS}/{id}/action", {"unlock": None}).status == 202


@pytest.mark.parametrize(
    "body", [{"createBackup": {}}, {}, {"os-start": None, "os-stop": None}, {"os-start": {"x": 1}}]
)
def test_an_action_that_is_not_there_is_400(ready: ApiCloud, body: Any) -> None:
    assert ready.member.post(f"{SERVERS}/{put(ready)}/action", body).status == 400


def test_a_delete_cancels_what_is_under_way_and_comes_once(ready: ApiCloud) -> None:
    id = created(ready.member)
    assert ready.member.delete(f"{SERVERS}/{id}").status == 204
    assert ready.member.delete(f"{SERVERS}/{id}").status == 204
    with ready.database.read() as store:
        kinds = [(row.kind, row.cancelled, row.state) for row in store.operation.of_target(id)]
    assert kinds == [("server.delete", False, "waiting"), ("server.create", True, "running")]


def test_a_console_log_of_a_server_without_a_host_is_409(ready: ApiCloud) -> None:
    id = put(ready)
    assert ready.member.post(f"{SERVERS}/{id}/action", {"os-getConsoleOutput": {}}).status == 409


def test_actions_are_the_operations_of_a_server(ready: ApiCloud) -> None:
    id = created(ready.member)
    base = f"{SERVERS}/{id}/os-instance-actions"
    [action] = ready.member.get(base).body["instanceActions"]
    assert (action["action"], action["message"]) == ("create", None)
    shown = at(ready.member, "2.51").get(f"{base}/{action['request_id']}").body["instanceAction"]
    assert shown["events"] == []
    assert ready.member.get(f"{base}/req-{ANOTHER_ID}").status == 404


@pytest.mark.parametrize("version", ["2.0", "3.1", "2.9999"])
def test_a_version_out_of_range_is_406(ready: ApiCloud, version: str) -> None:
    answer = at(ready.member, version).get(SERVERS)
    assert answer.status == 406


def test_a_body_that_is_too_large_is_413(ready: ApiCloud) -> None:
    answer = create(ready.member, name="x" * 1_000_000)
    assert answer.status == 413
