"""Images and their members in the store: who sees what, and who holds an upload."""

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.image import Image, ImageFilter, ImageStatus, MemberStatus, Visibility
from polyvisor.model.image_member import ImageMember
from polyvisor.store.database import Database
from polyvisor.store.store import Store
from tests.databases import with_tables

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database."""
    database = with_tables(database_url)
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> Iterator[Store]:
    """One transaction on it."""
    with database.write() as store:
        yield store


def image(**fields: Any) -> Image:
    known: dict[str, Any] = {
        "id": str(uuid.uuid4()), "name": "debian", "owner": "mine", "status": ImageStatus.QUEUED,
        "visibility": Visibility.PRIVATE, "disk_format": "raw", "container_format": "bare", "created_at": NOW,
        "updated_at": NOW,
    }  # fmt: skip
    return Image(**{**known, **fields})


def made(store: Store, **fields: Any) -> Image:
    record = image(**fields)
    store.image.create(record)
    return record


def test_an_image_is_read_as_it_was_written(store: Store) -> None:
    record = made(
        store, subformat="streamOptimized", size_bytes=2**40, virtual_size_bytes=2**41, checksum="c", min_disk_gib=3,
        hash_algorithm="sha512", hash_value="h", min_ram_mib=4, protected=True, hidden=True, properties={"a": "ü"},
        tags=("t", "u"),
    )  # fmt: skip
    assert store.image.get(record.id) == record


@pytest.mark.parametrize(
    ("visibility", "seen"), [("public", True), ("community", True), ("shared", False), ("private", False)]
)
def test_a_foreign_image_is_seen_only_where_it_is_open(store: Store, visibility: str, seen: bool) -> None:
    record = made(store, visibility=Visibility(visibility))
    assert store.image.get(record.id, project_id="mine") == record
    if seen:
        assert store.image.get(record.id, project_id="other") == record
    else:
        with pytest.raises(NotFound, match=record.id):
            store.image.get(record.id, project_id="other")


@pytest.mark.parametrize("status", MemberStatus)
def test_a_member_sees_a_shared_image_whatever_it_answered(store: Store, status: MemberStatus) -> None:
    record = made(store, visibility=Visibility.SHARED)
    member = ImageMember(image_id=record.id, member_id="other", status=status, created_at=NOW, updated_at=NOW)
    store.image_member.create(member)
    assert store.image.get(record.id, project_id="other") == record
    listed = store.image.list(ImageFilter(project_id="other"))
    assert listed == ([record] if status is MemberStatus.ACCEPTED else [])
    assert store.image.list(ImageFilter(project_id="other", member_status=status)) == [record]
    with pytest.raises(NotFound):
        store.image.get(record.id, project_id="a third")


def test_a_former_member_of_a_private_image_sees_nothing(store: Store) -> None:
    record = made(store, visibility=Visibility.SHARED)
    accepted = MemberStatus.ACCEPTED
    store.image_member.create(
        ImageMember(image_id=record.id, member_id="other", status=accepted, created_at=NOW, updated_at=NOW)
    )
    store.image.update(record, {"visibility": Visibility.PRIVATE}, LATER)
    with pytest.raises(NotFound):
        store.image.get(record.id, project_id="other")
    assert store.image.list(ImageFilter(project_id="other")) == []


def test_a_deleted_image_is_gone_and_its_id_taken(store: Store) -> None:
    record = made(store, properties={"secret": "x"})
    store.image.delete(record.id, LATER)
    with pytest.raises(NotFound):
        store.image.get(record.id)
    assert store.image.list(ImageFilter(project_id=None)) == []
    assert store.image.ids() == set()
    with pytest.raises(Conflict):
        store.image.create(image(id=record.id))


def test_an_upload_holds_an_image_until_it_ends(store: Store) -> None:
    record = made(store)
    store.image.begin_upload(record, "first", LATER, NOW)
    with pytest.raises(Conflict):
        store.image.begin_upload(record, "second", LATER, NOW)
    assert not store.image.finish_upload("second", {"size_bytes": 5}, NOW)
    assert store.image.renew_upload("first", LATER)
    assert store.image.finish_upload("first", {"size_bytes": 5}, NOW)
    found = store.image.get(record.id)
    assert (found.status, found.size_bytes) == (ImageStatus.ACTIVE, 5)
    assert not store.image.abandon_upload("first", NOW)
    assert store.image.get(record.id).status is ImageStatus.ACTIVE
    with pytest.raises(Conflict, match="active"):
        store.image.begin_upload(found, "third", LATER, NOW)


def test_an_abandoned_upload_leaves_the_image_queued(store: Store) -> None:
    record = made(store)
    store.image.begin_upload(record, "first", LATER, NOW)
    assert store.image.abandon_upload("first", NOW)
    assert store.image.get(record.id) == record
    assert not store.image.renew_upload("first", LATER)


def test_uploads_are_dead_when_their_time_is_over(store: Store) -> None:
    record = made(store)
    store.image.begin_upload(record, "first", LATER, NOW)
    assert store.image.dead_uploads(LATER) == []
    assert store.image.dead_uploads(LATER + timedelta(seconds=1)) == [(record.id, "first")]
    assert store.image.dead_uploads(None) == [(record.id, "first")]


def test_deleting_an_image_ends_its_upload(store: Store) -> None:
    record = made(store)
    store.image.begin_upload(record, "first", LATER, NOW)
    store.image.delete(record.id, NOW)
    assert not store.image.renew_upload("first", LATER)
    assert not store.image.finish_upload("first", {}, NOW)
    assert store.image.dead_uploads(None) == []


def test_of_many_uploads_at_once_one_begins(database: Database) -> None:
    with database.write() as store:
        record = made(store)
    begun: list[int] = []

    def attempt(number: int) -> None:
        with database.write() as store:
            try:
                store.image.begin_upload(record, str(number), LATER, NOW)
            except Conflict:
                return
            begun.append(number)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 1


def test_pages_hold_each_image_once_even_where_the_keys_are_equal(store: Store) -> None:
    records = [made(store, name=None if n % 2 else "same", size_bytes=n % 3 or None) for n in range(9)]
    for key in ("name", "size", "created_at"):
        seen: list[str] = []
        marker = None
        while page := store.image.list(ImageFilter(project_id="mine"), sort=[(key, "asc")], marker=marker, limit=2):
            seen += [record.id for record in page]
            marker = page[-1].id
        assert sorted(seen) == sorted(record.id for record in records)


def test_a_marker_that_is_not_seen_is_not_known(store: Store) -> None:
    record = made(store)
    for by, marker in ((ImageFilter(project_id="other"), record.id), (ImageFilter(project_id=None), "nothing")):
        with pytest.raises(Invalid, match="marker"):
            store.image.list(by, marker=marker)


def test_members_are_listed_in_the_order_they_were_invited(store: Store) -> None:
    record = made(store, visibility=Visibility.SHARED)
    for number, name in enumerate(("z", "a", "m")):
        moment = NOW + timedelta(seconds=number)
        store.image_member.create(
            ImageMember(
                image_id=record.id, member_id=name, status=MemberStatus.PENDING, created_at=moment, updated_at=moment
            )
        )
    assert [member.member_id for member in store.image_member.list(record.id)] == ["z", "a", "m"]
    changed = store.image_member.update(record.id, "a", MemberStatus.REJECTED, LATER)
    assert (changed.status, changed.updated_at) == (MemberStatus.REJECTED, LATER)
    store.image_member.delete(record.id, "z")
    for gone in (store.image_member.get, store.image_member.delete):
        with pytest.raises(NotFound):
            gone(record.id, "z")
