"""Pages by key: put together, they are the list."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from polyvisor.model.flavor import Flavor
from polyvisor.store.database import Database
from polyvisor.store.flavor import SORT_KEYS
from polyvisor.store.tables import metadata
from tests.databases import with_tables

NOW = datetime(2026, 1, 2, tzinfo=UTC)
_few = st.integers(1, 3)
_flavors = st.lists(
    st.builds(
        lambda vcpus, memory, disk, told: {
            "vcpus": vcpus,
            "memory_mib": memory,
            "root_gib": disk,
            "description": told,
        },
        _few,
        _few,
        _few,
        st.sampled_from([None, "", "a", "b"]),
    ),
    max_size=12,
)
_sort = st.lists(
    st.tuples(
        st.sampled_from(["vcpus", "memory_mb", "root_gb", "description", "name"]), st.sampled_from(["asc", "desc"])
    ),
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(fields=_flavors, sort=_sort, size=st.integers(1, 5))
def test_pages_are_the_list_cut_into_pieces(
    fields: list[dict[str, object]], sort: Sequence[tuple[str, str]], size: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder)}/x.db")
        metadata.create_all(database.engine, [metadata.tables["flavor"], metadata.tables["flavor_access"]])
        try:
            with database.write() as store:
                for number, values in enumerate(fields):
                    name = f"f{number}"
                    store.flavor.create(Flavor(id=name, name=name, created_at=NOW, **values))  # type: ignore[arg-type]
                whole = store.flavor.list(sort=sort)
                walked: list[Flavor] = []
                while page := store.flavor.list(sort=sort, limit=size, marker=walked[-1].id if walked else None):
                    walked += page
            assert walked == whole
            assert len(whole) == len(fields)
        finally:
            database.close()


def test_every_sort_key_sorts(database_url: str) -> None:
    database = with_tables(database_url)
    with database.write() as store:
        store.flavor.bootstrap(NOW)
        for key in SORT_KEYS:
            there = [flavor.id for flavor in store.flavor.list(sort=[(key, "asc")])]
            assert sorted(there) == ["1", "2", "3", "4", "42", "5"]
        by_memory = [flavor.memory_mib for flavor in store.flavor.list(sort=[("memory_mb", "desc")])]
    database.close()
    assert by_memory == sorted(by_memory, reverse=True)
