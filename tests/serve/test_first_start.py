"""The first start: one set of first users, however many servers begin and wherever they are killed."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from polyvisor.api.identity.bootstrap import DEFAULT_DOMAIN
from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.settings import IdentitySettings
from polyvisor.model.errors import Invalid
from polyvisor.serve import first_start
from polyvisor.serve.first_start import prepare
from polyvisor.store.database import Database
from tests.databases import with_tables

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def start(database: Database, data: Path, url: str = "http://one:1", *, keep_endpoints: bool = False) -> str:
    """One server's first steps; returns the cloud's id."""
    data.mkdir(exist_ok=True)
    return prepare(
        database, data, Passwords(IdentitySettings()), url=url, region="R", authority=None, now=NOW,
        keep_endpoints=keep_endpoints,
    )  # fmt: skip


def opens(database: Database, data: Path) -> bool:
    """Whether the password in DATA/clouds.yaml is the administrator's."""
    known = first_start._known_passwords(data / "clouds.yaml")
    assert known is not None
    return first_start._is_admins(database, Passwords(IdentitySettings()), known.admin, NOW)


def test_of_servers_that_begin_at_once_one_makes_the_users(tmp_path: Path, database_url: str) -> None:
    database = with_tables(database_url)
    folders = [tmp_path / f"server{number}" for number in range(3)]
    clouds: list[str] = []
    failures: list[Exception] = []
    together = threading.Barrier(3)

    def begin(folder: Path) -> None:
        together.wait()
        try:
            clouds.append(start(database, folder))
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=begin, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert len(set(clouds)) == 1
    [maker] = [folder for folder in folders if (folder / "clouds.yaml").exists()]
    assert opens(database, maker)
    assert not any((folder / "first-passwords").exists() for folder in folders)
    with database.read() as store:
        assert [key.state for key in store.token_key.list()] == ["primary", "staged"]
        assert len(store.catalog.services()) == 3
    database.close()


def test_a_kill_before_the_passwords_are_told_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each moment at which the first start writes something."""
    database = with_tables(f"sqlite:///{tmp_path / 'polyvisor.db'}")
    data = tmp_path / "data"

    class Killed(BaseException):
        pass

    def killed(*_args: object, **_more: object) -> None:
        raise Killed

    for part in ("bootstrap", "_tell"):
        with monkeypatch.context() as broken:
            broken.setattr(first_start, part, killed)
            with pytest.raises(Killed):
                start(database, data)
        assert not (data / "clouds.yaml").exists()
    start(database, data)
    assert opens(database, data)
    assert not (data / "first-passwords").exists()
    database.close()


def test_a_server_without_a_public_address_leaves_the_catalogue_alone(tmp_path: Path) -> None:
    database = with_tables(f"sqlite:///{tmp_path / 'polyvisor.db'}")

    def url() -> str:
        with database.read() as store:
            [service] = store.catalog.services(service_type="compute")
            return store.catalog.endpoints(service_id=service.id)[0].url

    start(database, tmp_path / "one", "http://one:1", keep_endpoints=True)
    start(database, tmp_path / "two", "http://two:2", keep_endpoints=True)
    assert url() == "http://one:1/compute/v2.1"
    start(database, tmp_path / "two", "http://vip:3")
    assert url() == "http://vip:3/compute/v2.1"
    with database.read() as store:
        assert store.user.named(DEFAULT_DOMAIN, "admin") is not None
    database.close()


def test_a_fresh_cloud_has_a_pool_for_automatic_networks_once(tmp_path: Path, database_url: str) -> None:
    database = with_tables(database_url)

    def begin(pool: str) -> list[str]:
        (tmp_path / "data").mkdir(exist_ok=True)
        prepare(
            database, tmp_path / "data", Passwords(IdentitySettings()), url="http://one:1", region="R", authority=None,
            now=NOW, networks=True, default_subnet_pool=pool,
        )  # fmt: skip
        with database.read() as store:
            return [each.prefixes[0] for each in store.subnet_pool.every().values() if each.is_default and each.shared]

    assert begin("10.64.0.0/12") == ["10.64.0.0/12"]
    with database.write() as store:
        [pool] = store.subnet_pool.every().values()
        store.subnet_pool.delete(pool)
    assert begin("10.64.0.0/12") == [], "what an administrator took away comes back"
    database.close()


def test_no_pool_is_made_where_none_is_wanted_or_the_range_is_none(tmp_path: Path, database_url: str) -> None:
    database = with_tables(database_url)
    with database.write() as store, pytest.raises(Invalid, match="default_subnet_pool"):
        store.subnet_pool.bootstrap("10.64.0.0/40", "id", NOW)
    with database.write() as store:
        store.subnet_pool.bootstrap("", "id", NOW)
        store.subnet_pool.bootstrap("10.64.0.0/12", "id", NOW)
        assert store.subnet_pool.every() == {}
    database.close()
