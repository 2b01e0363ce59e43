"""Lists of servers: pages hold together, filters mean what they say, and each page is one statement."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.flavor import Flavor
from polyvisor.model.server import Server, ServerFilter, VmState
from polyvisor.store.database import Database
from polyvisor.store.server import SORT_KEYS
from tests import databases

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLAVOR = Flavor(id="1", name="m1", vcpus=2, memory_mib=512, root_gib=1, created_at=NOW)


def server(number: int, **fields: object) -> Server:
    """A server; every third one shares its time with the one before."""
    values: dict[str, object] = {
        "id": str(uuid.UUID(int=number * 7919 % 1009)),
        "name": f"server-{number % 5}",
        "project_id": "p",
        "user_id": "u",
        "hostname": "h",
        "flavor": FLAVOR,
        "image": None,
        "reservation_id": "r",
        "host": None if number % 4 == 0 else f"host-{number % 3}",
        "created_at": NOW + timedelta(seconds=number - number % 3),
        "updated_at": NOW + timedelta(seconds=number),
        "launched_at": None if number % 2 else NOW,
        **fields,
    }
    return Server(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=databases.KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Forty servers of one project, and one of another."""
    with ExitStack() as last:
        if request.param == "sqlite":
            url = databases.sqlite_url(tmp_path_factory.mktemp("store"))
        else:
            url = last.enter_context(databases.postgresql_url(request.getfixturevalue("postgres")))
        made = databases.with_tables(url)
        last.callback(made.close)
        _fill(made)
        yield made


def _fill(made: Database) -> None:
    with made.write() as store:
        store.server.create([server(number) for number in range(1, 41)])
        store.server.create(
            [server(100, project_id="other", tags=("a", "ab")), server(101, project_id="other", tags=("ab",))]
        )


WAYS = st.lists(
    st.tuples(st.sampled_from(sorted(SORT_KEYS)), st.sampled_from(["asc", "desc"])),
    max_size=3,
    unique_by=lambda pair: pair[0],
)


@given(sort=WAYS, limit=st.integers(1, 15))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_hold_every_server_once_and_in_order(database: Database, sort: list[tuple[str, str]], limit: int) -> None:
    """Whatever the order, nulls and equal keys included."""
    wanted = ServerFilter(project_id="p")
    with database.read() as store:
        whole = [each.id for each in store.server.list(filter=wanted, sort=sort)]
        pages: list[str] = []
        while True:
            marker = pages[-1] if pages else None
            page = store.server.list(filter=wanted, sort=sort, marker=marker, limit=limit)
            pages += [each.id for each in page]
            if len(page) < limit:
                break
    assert pages == whole
    assert len(whole) == 40


def test_a_marker_that_is_not_there_is_refused(database: Database) -> None:
    with database.read() as store, pytest.raises(Invalid, match="marker"):
        store.server.list(filter=ServerFilter(), marker="nobody")


def test_a_foreign_server_looks_absent(database: Database) -> None:
    with database.read() as store:
        foreign = store.server.list(filter=ServerFilter(project_id="other"))[0]
        with pytest.raises(NotFound):
            store.server.get(foreign.id, project_id="p")
        assert store.server.get(foreign.id, project_id=None).id == foreign.id


@pytest.mark.parametrize(("tags", "count"), [(("a",), 1), (("ab",), 2), (("a", "ab"), 1), (("b",), 0)])
def test_tags_match_as_whole_words(database: Database, tags: tuple[str, ...], count: int) -> None:
    with database.read() as store:
        assert len(store.server.list(filter=ServerFilter(tags=tags))) == count


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (ServerFilter(name_like="^server-1$", project_id="p"), 8),
        (ServerFilter(host="host-1", project_id="p"), 10),
        (ServerFilter(vm_states=(VmState.BUILDING,), project_id="p"), 40),
        (ServerFilter(vm_states=(VmState.ERROR,), project_id="p"), 0),
        (ServerFilter(changed_since=NOW + timedelta(seconds=31), project_id="p"), 10),
        (ServerFilter(changed_before=NOW + timedelta(seconds=10), project_id="p"), 10),
        (ServerFilter(deleted=True), 0),
    ],
)
def test_a_filter_means_what_it_says(database: Database, wanted: ServerFilter, count: int) -> None:
    with database.read() as store:
        assert len(store.server.list(filter=wanted)) == count


def test_usage_sums_what_is_not_deleted(database: Database) -> None:
    with database.read() as store:
        assert store.server.usage("p") == (40, 80, 40 * 512)
