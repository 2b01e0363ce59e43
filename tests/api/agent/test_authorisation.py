"""Who may what: every endpoint against a stranger, a thief, one that was revoked, expired, or signed by another."""

import http.client
import ssl
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from polyvisor.api.agent import authority as authorities
from polyvisor.image.files import FileBackend
from polyvisor.model.image import ImageRef
from polyvisor.model.order import ServerCreate
from polyvisor.model.place import PlaceRequest
from polyvisor.model.server import Server, TaskState
from tests.api.agent.bed import Answered, Bed, Caller, foreign_authority
from tests.operate.cloud import FLAVOR

CONTENT = bytes(range(256)) * 4096
SECRET = "only-for-the-guest"


def leased(bed: Bed, agent: Caller, place: str) -> tuple[str, int]:
    """A server whose image this agent is to bring to its host: the operation's id, and its lease's epoch."""
    id, image_id = str(uuid.uuid4()), str(uuid.uuid4())
    backend: FileBackend = bed.backend
    with backend.writer(image_id) as writer:
        writer.write(CONTENT)
        writer.commit()
    image = ImageRef(
        id=image_id,
        disk_format="raw",
        container_format="bare",
        size_bytes=len(CONTENT),
        virtual_size_bytes=1,
        sha512="",
    )
    server = Server(
        id=id, name="one", project_id="p", user_id="u", hostname="one", flavor=FLAVOR, image=image, reservation_id="r",
        task_state=TaskState.SCHEDULING, created_at=bed.clock(), updated_at=bed.clock(),
    )  # fmt: skip
    request = PlaceRequest(server_id=id, project_id="p", vcpus=1, memory_mib=512, disk_gib=1, image=image)
    order = ServerCreate(server=server, request=request, project_name="project", admin_password=SECRET)
    operation_id = str(uuid.uuid4())
    with bed.database.write() as store:
        store.server.create([server])
        store.operation.begin(
            id=operation_id, kind="server.create", target_id=id, project_id="p", user_id="u", request_id="r",
            args=msgspec.to_builtins(order), now=bed.clock(),
        )  # fmt: skip
        store.operation.save([msgspec.structs.replace(store.operation.get(operation_id), place=place, step=1)])
    [lease] = agent.say("exchange", places=[place], most=1).body["leases"]
    return operation_id, lease["operation"]["lease_epoch"]


Act = Callable[[Caller, str, int], Answered]
ENDPOINTS: dict[str, Act] = {
    "exchange": lambda who, id, epoch: who.say(
        "exchange", places=["kvm1"], most=8, recover=True, running=[],
        reports=[{"operation_id": id, "epoch": epoch, "outcome": "failed", "error": "a lie"}],
    ),
    "wait": lambda who, id, epoch: who.say("wait", places=["kvm1"], timeout_seconds=0.1),
    "beat": lambda who, id, epoch: who.beat("kvm1", running=[id], progress={id: (0.9, "a lie")}),
    "inventory": lambda who, id, epoch: who.say(
        "inventory", inventory={"place": "kvm1", "epoch": 1, "since": "2030-01-01T00:00:00Z", "unreachable": "a lie"}
    ),
    "glimpse": lambda who, id, epoch: who.say(
        "glimpse",
        glimpse={"place": "kvm1", "epoch": 1, "since": "2030-01-01T00:00:00Z", "server_id": id, "guest": None},
    ),
    "notes": lambda who, id, epoch: who.say("notes", place="kvm1", epoch=1, notes={"a": "lie"}),
    "image": lambda who, id, epoch: who.get(f"operations/{id}/image?epoch={epoch}"),
    "certificate": lambda who, id, epoch: who.say("certificate", csr=who.csr()),
    "metadata": lambda who, id, epoch: who.say(
        "metadata",
        asked={"network_id": id, "address": "10.0.0.5", "method": "GET", "path": "/openstack/latest/user_data"},
    ),
    "metadata_ports": lambda who, id, epoch: who.say("metadata_ports"),
}  # fmt: skip


def state(bed: Bed) -> object:
    """All that an agent's word could change, but for when each was heard of."""
    with bed.database.read() as store:
        rows = [msgspec.structs.replace(row, lease_until=None) for row in store.operation.list()]
        agents = [
            (one.name, one.certificate_serial, one.sessions, one.revoked_at)
            for one in store.agent.list()
            if one.name == "owner"
        ]
        places = [(one.name, one.holder, one.epoch, one.notes) for one in store.place.list() if one.name == "kvm1"]
        return rows, agents, places, store.host.list()


def test_every_endpoint_is_tried_here(bed: Bed) -> None:
    assert set(ENDPOINTS) | {"join"} == {*bed.app._posts, "image"}


def test_a_stolen_certificate_reaches_nothing_of_another_agent(bed: Bed) -> None:
    owner, thief = bed.join("owner", "kvm1"), bed.join("thief", "kvm2")
    owner.roles("kvm1")
    thief.roles("kvm2")
    id, epoch = leased(bed, owner, "kvm1")
    before = state(bed)
    answers = {endpoint: act(thief, id, epoch) for endpoint, act in ENDPOINTS.items()}
    assert state(bed) == before
    for endpoint, answered in answers.items():
        assert SECRET.encode() not in answered.content, endpoint
        assert CONTENT[:256] not in answered.content, endpoint
    assert {endpoint: answered.status for endpoint, answered in answers.items()} == {
        "exchange": 200, "wait": 200, "beat": 200, "inventory": 409, "glimpse": 409, "notes": 409, "image": 404,
        "certificate": 200, "metadata": 200, "metadata_ports": 200,
    }  # fmt: skip
    # Whose guests an agent may speak for is tried in test_metadata.py.
    assert answers["metadata"].body["status"] == 404
    assert answers["metadata_ports"].body == {"ports": []}
    assert answers["exchange"].body == {"leases": []}
    assert [hold["role"] for hold in answers["beat"].body["holds"]] == ["refused"]


def as_stranger(bed: Bed, owner: Caller) -> Caller:
    """Without a certificate."""
    return Caller(bed)


def as_revoked(bed: Bed, owner: Caller) -> Caller:
    """With the certificate of one that was shut out."""
    with bed.database.write() as store:
        store.agent.change(owner.id, revoked_at=bed.clock())
    return owner


def as_replaced(bed: Bed, owner: Caller) -> Caller:
    """With one that was stolen before the agent joined again."""
    stolen = Caller(bed, "owner")
    stolen.session, stolen.id = owner.session, owner.id
    stolen.show(owner.certificate, owner.key)
    assert owner.join(bed.token(name="owner"), "kvm1").status == 200
    return stolen


def as_earlier_process(bed: Bed, owner: Caller) -> Caller:
    """A process that was cut off, and wakes up after another has taken its place."""
    later = Caller(bed, "owner")
    later.show(owner.certificate, owner.key)
    assert later.roles("kvm1") == {"kvm1": "active"}
    return owner


@pytest.mark.parametrize(
    ("becoming", "status"), [(as_stranger, 401), (as_revoked, 401), (as_replaced, 401), (as_earlier_process, 409)]
)
def test_who_has_no_right_any_more_is_refused_everywhere(
    bed: Bed, becoming: Callable[[Bed, Caller], Caller], status: int
) -> None:
    owner = bed.join("owner", "kvm1")
    owner.roles("kvm1")
    id, epoch = leased(bed, owner, "kvm1")
    caller = becoming(bed, owner)
    before = state(bed)
    image = f"operations/{id}/image?epoch={epoch}"
    answers = {endpoint: act(caller, id, epoch) for endpoint, act in ENDPOINTS.items() if endpoint != "image"}
    answers["image"] = caller.get(image, {"X-Polyvisor-Session": caller.session})
    assert {endpoint: answered.status for endpoint, answered in answers.items()} == dict.fromkeys(ENDPOINTS, status)
    assert all(answered.body["error"] for answered in answers.values())
    assert state(bed) == before


def refused_in_the_handshake(caller: Caller) -> bool:
    """TLS itself does not take the certificate."""
    try:
        caller.beat("kvm1")
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return True
    return False


def test_a_certificate_of_another_authority_is_refused_in_the_handshake(bed: Bed) -> None:
    owner = bed.join("owner", "kvm1")
    forged = authorities.sign_agent(foreign_authority(), owner.csr(), owner.id, datetime.now(UTC), 30)
    owner.show(forged.certificate)
    assert refused_in_the_handshake(owner)


def test_an_expired_certificate_is_refused_in_the_handshake(bed: Bed) -> None:
    owner = bed.join("owner", "kvm1")
    old = authorities.sign_agent(bed.authority, owner.csr(), owner.id, datetime.now(UTC) - timedelta(days=40), 30)
    owner.show(old.certificate)
    assert refused_in_the_handshake(owner)


def test_a_servers_certificate_is_not_an_agents(bed: Bed) -> None:
    stranger = Caller(bed)
    server = authorities.sign_server(bed.authority, ["localhost"], datetime.now(UTC))
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(server.key.encode(), None)
    stranger.show(server.certificate, key)  # type: ignore[arg-type]
    assert refused_in_the_handshake(stranger)


def test_an_image_goes_to_the_agent_that_needs_it_whole_or_from_where_it_broke_off(bed: Bed) -> None:
    owner = bed.join("owner", "kvm1")
    owner.roles("kvm1")
    id, epoch = leased(bed, owner, "kvm1")
    path = f"operations/{id}/image?epoch={epoch}"
    whole = owner.get(path)
    assert (whole.status, whole.content) == (200, CONTENT)
    rest = owner.get(path, {"Range": f"bytes={len(CONTENT) - 10}-"})
    assert (rest.status, rest.content) == (206, CONTENT[-10:])
    assert rest.headers["content-range"] == f"bytes {len(CONTENT) - 10}-{len(CONTENT) - 1}/{len(CONTENT)}"
    beyond = owner.get(path, {"Range": f"bytes={len(CONTENT)}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")
    assert owner.get(f"operations/{id}/image?epoch={epoch + 1}").status == 404
    with bed.database.write() as store:
        store.operation.lose_leases(["kvm1"], bed.clock())
    assert owner.get(path).status == 404
