"""The cloud without threads, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operate.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[Cloud]:
    """Room for exactly one server."""
    made = Cloud(tmp_path, database_url=database_url)
    yield made
    made.close()
