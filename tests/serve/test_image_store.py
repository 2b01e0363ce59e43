"""The images' folder: one for all servers, told by its mark."""

import threading
from pathlib import Path

import pytest

from polyvisor.model.errors import Invalid
from polyvisor.serve import image_store
from polyvisor.serve.image_store import MARK, open_image_store
from tests.databases import with_tables


def test_every_server_finds_the_same_folder_and_no_other(tmp_path: Path, database_url: str) -> None:
    database = with_tables(database_url)
    try:
        shared = tmp_path / "shared"
        open_image_store(database, shared)
        open_image_store(database, shared)
        with pytest.raises(Invalid, match="must share one folder"):
            open_image_store(database, tmp_path / "own")
        assert not (tmp_path / "own" / MARK).exists()
        (tmp_path / "own" / MARK).write_text((shared / MARK).read_text())
        open_image_store(database, tmp_path / "own")
    finally:
        database.close()


def test_servers_that_begin_at_once_agree_on_one(tmp_path: Path, database_url: str) -> None:
    database = with_tables(database_url)
    failures: list[Exception] = []
    together = threading.Barrier(4)

    def begin() -> None:
        together.wait()
        try:
            open_image_store(database, tmp_path / "shared")
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    database.close()
    assert failures == []
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [MARK]


@pytest.mark.parametrize("moment", ["_mark", "_leave_mark"])
def test_a_server_that_begins_in_between_changes_nothing(
    moment: str, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = with_tables(database_url)
    own = getattr(image_store, moment)

    def late(directory: Path) -> str:
        monkeypatch.undo()
        found: str = own(directory)
        open_image_store(database, directory)
        return found

    monkeypatch.setattr(image_store, moment, late)
    try:
        open_image_store(database, tmp_path / "shared")
        open_image_store(database, tmp_path / "shared")
    finally:
        database.close()


def test_a_folder_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    database = with_tables(f"sqlite:///{tmp_path / 'polyvisor.db'}")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Invalid, match=r"cannot be reached: .*image"):
        open_image_store(database, tmp_path / "file" / "images")
    database.close()
