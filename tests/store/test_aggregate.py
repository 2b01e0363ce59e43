"""Aggregates, their hosts, and the zones they make."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from polyvisor.model.aggregate import Aggregate
from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.flavor import Flavor
from polyvisor.model.host import Capacity, Host, HostReport, HostState, HypervisorType
from polyvisor.model.server import Server
from polyvisor.store.store import Store
from tests.databases import with_tables

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
A_UUID = "00000000-0000-4000-8000-00000000000a"


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    database = with_tables(database_url)
    with database.write() as store:
        store.host.join([_host("kvm-1", 1), _host("kvm-2", 2), _host("cluster.vc", 3)])
        yield store
    database.close()


def _host(name: str, number: int) -> Host:
    report = HostReport(
        name=name,
        hypervisor_type=HypervisorType.KVM,
        hypervisor_version=9_000_000,
        architecture="x86_64",
        capacity=Capacity(vcpus=4, memory_mib=4096, disk_gib=40),
        largest_vcpus=4,
        largest_memory_mib=4096,
    )
    return Host(
        id=0,
        uuid=f"00000000-0000-4000-8000-{number:012}",
        place="here",
        report=report,
        state=HostState.UP,
        zone="nova",
        vcpu_ratio=1,
        memory_ratio=1,
        disk_ratio=1,
        created_at=NOW,
        seen_at=NOW,
    )


def _aggregate(store: Store, name: str, zone: str | None = None) -> Aggregate:
    entries = {} if zone is None else {"availability_zone": zone}
    return store.aggregate.create(name, entries, uuid=f"{name:0>36}", now=NOW)


def _add(store: Store, aggregate: Aggregate, host: str) -> Aggregate:
    return store.aggregate.add_host(aggregate.id, host, default_zone="nova", now=NOW)


def _server(store: Store, host: str, zone_requested: str | None) -> str:
    flavor = Flavor(id="1", name="m1", vcpus=1, memory_mib=64, root_gib=1, created_at=NOW)
    record = Server(
        id="5e000000-0000-4000-8000-000000000001",
        name="web",
        project_id="p",
        user_id="u",
        hostname="web",
        flavor=flavor,
        image=None,
        host=host,
        zone="nova",
        zone_requested=zone_requested,
        reservation_id="r-1",
        created_at=NOW,
        updated_at=NOW,
    )
    store.server.create([record])
    return record.id


def test_an_aggregate_is_found_by_number_and_by_uuid(store: Store) -> None:
    made = store.aggregate.create("racks", {"ssd": "true"}, uuid=A_UUID, now=NOW)
    assert store.aggregate.get(made.id) == store.aggregate.get(A_UUID) == made
    with pytest.raises(NotFound, match="Aggregate 99"):
        store.aggregate.get(99)


def test_two_aggregates_cannot_share_a_name(store: Store) -> None:
    _aggregate(store, "racks")
    other = _aggregate(store, "others")
    with pytest.raises(Conflict, match="racks already exists"):
        _aggregate(store, "racks")
    with pytest.raises(Conflict, match="racks already exists"):
        store.aggregate.update(other.id, name="racks", entries={}, default_zone="nova", now=NOW)


def test_metadata_are_merged_and_none_removes(store: Store) -> None:
    made = store.aggregate.create("racks", {"ssd": "true", "fast": "yes"}, uuid=A_UUID, now=NOW)
    changed = store.aggregate.update(
        made.id, name=None, entries={"ssd": None, "gpu": "no"}, default_zone="nova", now=NOW
    )
    assert changed.metadata == {"fast": "yes", "gpu": "no"}
    assert changed.updated_at == NOW


def test_hosts_that_join_fall_into_the_aggregate_of_their_kind(store: Store) -> None:
    store.aggregate.join("kvm", ["kvm-1"], new_uuid=A_UUID, now=NOW)
    store.aggregate.join("kvm", ["kvm-1", "kvm-2"], new_uuid="another", now=NOW)
    [kvm] = store.aggregate.list()
    assert (kvm.name, kvm.uuid, kvm.metadata) == ("kvm", A_UUID, {"hypervisor_type": "kvm"})
    assert kvm.hosts == ("kvm-1", "kvm-2")


def test_hosts_join_the_zone_that_the_aggregate_of_their_kind_makes(store: Store) -> None:
    store.aggregate.join("kvm", ["kvm-1"], new_uuid=A_UUID, now=NOW)
    [kvm] = store.aggregate.list()
    store.aggregate.update(kvm.id, name=None, entries={"availability_zone": "a"}, default_zone="nova", now=NOW)
    store.aggregate.join("kvm", ["kvm-2"], new_uuid="another", now=NOW)
    assert [store.host.get(name).zone for name in ("kvm-1", "kvm-2", "cluster.vc")] == ["a", "a", "nova"]


def test_a_host_that_leaves_is_in_no_aggregate(store: Store) -> None:
    _add(store, _aggregate(store, "one"), "kvm-1")
    _add(store, _aggregate(store, "two"), "kvm-1")
    store.aggregate.leave("kvm-1", NOW)
    assert [aggregate.hosts for aggregate in store.aggregate.list()] == [(), ()]


def test_views_show_members_and_metadata(store: Store) -> None:
    made = _add(store, _aggregate(store, "one", "a"), "kvm-1")
    _aggregate(store, "two")
    one, two = store.aggregate.views()
    assert (one.id, one.name, one.metadata, one.hosts) == (
        made.id,
        "one",
        {"availability_zone": "a"},
        frozenset({"kvm-1"}),
    )
    assert (two.name, two.hosts) == ("two", frozenset())


def test_the_zone_of_a_host_follows_its_aggregates(store: Store) -> None:
    zoned = _aggregate(store, "zoned", "a")
    _add(store, zoned, "kvm-1")
    assert store.host.get("kvm-1").zone == "a"
    store.aggregate.update(zoned.id, name=None, entries={"availability_zone": "b"}, default_zone="nova", now=NOW)
    assert store.host.get("kvm-1").zone == "b"
    store.aggregate.update(zoned.id, name=None, entries={"availability_zone": None}, default_zone="nova", now=NOW)
    assert store.host.get("kvm-1").zone == "nova"
    store.aggregate.update(zoned.id, name=None, entries={"availability_zone": "c"}, default_zone="nova", now=NOW)
    store.aggregate.remove_host(zoned.id, "kvm-1", default_zone="nova", now=NOW)
    assert store.host.get("kvm-1").zone == "nova"


def test_a_host_is_never_in_two_zones(store: Store) -> None:
    _add(store, _aggregate(store, "one", "a"), "kvm-1")
    plain = _add(store, _aggregate(store, "plain"), "kvm-1")
    with pytest.raises(Conflict, match="zones a and b at once"), store.savepoint():
        _add(store, _aggregate(store, "two", "b"), "kvm-1")
    with pytest.raises(Conflict, match="zones a and b at once"), store.savepoint():
        store.aggregate.update(plain.id, name=None, entries={"availability_zone": "b"}, default_zone="nova", now=NOW)
    assert store.host.get("kvm-1").zone == "a"


def test_servers_move_with_the_zone_of_their_host(store: Store) -> None:
    server_id = _server(store, "kvm-1", None)
    _add(store, _aggregate(store, "one", "a"), "kvm-1")
    assert store.server.get(server_id).zone == "a"


def test_a_host_stays_in_the_zone_that_its_server_asked_for(store: Store) -> None:
    _server(store, "kvm-1", "nova")
    with pytest.raises(Conflict, match="was asked for in availability zone nova"):
        _add(store, _aggregate(store, "one", "a"), "kvm-1")


def test_an_unknown_host_and_a_member_cannot_be_added(store: Store) -> None:
    made = _add(store, _aggregate(store, "one"), "kvm-1")
    with pytest.raises(NotFound, match="nowhere"):
        _add(store, made, "nowhere")
    with pytest.raises(Conflict, match="already has host kvm-1"):
        _add(store, made, "kvm-1")
    with pytest.raises(NotFound, match="has no host kvm-2"):
        store.aggregate.remove_host(made.id, "kvm-2", default_zone="nova", now=NOW)


def test_an_aggregate_with_hosts_cannot_be_deleted(store: Store) -> None:
    made = _add(store, _aggregate(store, "one"), "kvm-1")
    with pytest.raises(Conflict, match="not empty"):
        store.aggregate.delete(made.id)
    store.aggregate.remove_host(made.id, "kvm-1", default_zone="nova", now=NOW)
    store.aggregate.delete(made.id)
    assert store.aggregate.list() == []


def test_every_change_is_numbered_for_the_scheduler(database_url: str) -> None:
    database = with_tables(database_url)
    seen = [0]

    def numbered(store: Store) -> None:
        seen.append(store.change.value("aggregate"))

    with database.write() as store:
        store.host.join([_host("kvm-1", 1)])
        made = _aggregate(store, "one")
        numbered(store)
    for change in (
        lambda store: _add(store, made, "kvm-1"),
        lambda store: store.aggregate.update(made.id, name="x", entries={}, default_zone="nova", now=NOW),
        lambda store: store.aggregate.remove_host(made.id, "kvm-1", default_zone="nova", now=NOW),
        lambda store: store.aggregate.join("kvm", ["kvm-1"], new_uuid=A_UUID, now=NOW),
        lambda store: store.aggregate.leave("kvm-1", NOW),
        lambda store: store.aggregate.delete(made.id),
    ):
        with database.write() as store:
            change(store)
            numbered(store)
    database.close()
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7]
