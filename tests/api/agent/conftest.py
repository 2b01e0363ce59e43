"""A server for agents, fresh for each test, on each database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.agent.bed import Bed


@pytest.fixture
def bed(tmp_path: Path, database_url: str) -> Iterator[Bed]:
    """Nobody has joined yet."""
    with Bed(tmp_path, database_url) as made:
        yield made
