"""Projects in the store: trees, tags, names, pages."""

from collections.abc import Iterator

import pytest

from polyvisor.model.errors import Conflict, Invalid, NotFound
from polyvisor.model.project import ProjectFilter
from polyvisor.store.store import Store
from tests.store.identity import NOW, project, stored


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with stored(database_url) as store:
        yield store


def names(store: Store, **by: object) -> list[str]:
    return [record.name for record in store.project.list(ProjectFilter(**by))]  # type: ignore[arg-type]


def test_the_tree_is_walked_up_and_down(store: Store) -> None:
    project(store, "top")
    project(store, "left", "top")
    project(store, "right", "top")
    project(store, "low", "left")
    assert [record.id for record in store.project.above("low")] == ["left", "top"]
    assert [record.id for record in store.project.below("top")] == ["left", "low", "right"]
    assert store.project.above("top") == []
    assert list(store.project.of_domain("bank")).index("low") < list(store.project.of_domain("bank")).index("left")


def test_a_project_with_projects_below_is_not_deleted(store: Store) -> None:
    project(store, "top")
    project(store, "low", "top")
    with pytest.raises(Conflict, match="below"):
        store.project.delete(store.project.get("top"))
    store.project.delete(store.project.get("low"))
    store.project.delete(store.project.get("top"))
    with pytest.raises(NotFound):
        store.project.get("top")


@pytest.mark.parametrize("tag", ["gold", 'qu"ote', "per%cent", "under_score", "back\\slash", "ünïcode", "[brackets]"])
def test_a_tag_is_found_whole_and_exactly(store: Store, tag: str) -> None:
    project(store, "has", tags=(tag, "other"))
    project(store, "lacks", tags=(f"{tag}s", f"a{tag}", tag.upper(), "golden", "perXcent", "underXscore"))
    assert names(store, tags=(tag,)) == ["has"]
    assert names(store, tags_any=(tag, "nothing")) == ["has"]
    assert names(store, tags=(tag, "nothing")) == []
    assert names(store, not_tags_any=(tag,)) == ["lacks"]
    assert names(store, not_tags=(tag, "other")) == ["lacks"]


def test_pages_follow_each_other_without_gaps(store: Store) -> None:
    for name in ("a", "b", "c", "d"):
        project(store, name)
    first = store.project.list(ProjectFilter(), limit=2)
    second = store.project.list(ProjectFilter(), limit=2, marker=first[-1].id)
    assert [record.name for record in (*first, *second)] == ["a", "b", "c", "d"]
    assert store.project.list(ProjectFilter(), marker="d") == []
    with pytest.raises(Invalid, match="marker"):
        store.project.list(ProjectFilter(), marker="nothing")


def test_disabling_voids_tokens_once(store: Store) -> None:
    project(store, "p")
    disabled = store.project.update(store.project.get("p"), {"enabled": False}, NOW)
    assert disabled.tokens_after == NOW
    enabled = store.project.update(disabled, {"enabled": True}, NOW.replace(year=2027))
    assert enabled.tokens_after == NOW
