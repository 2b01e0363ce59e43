"""A cloud with the Identity service, cheap passwords, and a clock that tests can move."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.service import service
from polyvisor.api.identity.settings import IdentitySettings
from tests.api.cloud import ApiCloud
from tests.api.identity.person import Person

CHEAP = IdentitySettings(argon2_memory_kib=64, argon2_passes=1, lockout_failures=3, lockout_seconds=600)


class Clock:
    """The time, and what is added to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(CHEAP)


@pytest.fixture
def cloud(tmp_path: Path, database_url: str, clock: Clock, passwords: Passwords) -> Iterator[ApiCloud]:
    with ApiCloud(tmp_path, [service], [passwords, CHEAP], clock=clock, database_url=database_url) as cloud:
        yield cloud


@pytest.fixture
def ada(cloud: ApiCloud) -> Person:
    """A user with a password, a member of the project "demo"."""
    return Person(cloud, "ada", "correct horse")
