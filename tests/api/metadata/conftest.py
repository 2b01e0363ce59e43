"""A database with hosts of `up`, a network and a server, on each database."""

from collections.abc import Iterator

import pytest

from polyvisor.api.metadata.service import MetadataService
from tests.api.metadata.estate import Estate
from tests.databases import with_tables


@pytest.fixture
def estate(database_url: str) -> Iterator[Estate]:
    """Nothing is in it."""
    database = with_tables(database_url)
    yield Estate(database)
    database.close()


@pytest.fixture
def service(estate: Estate) -> MetadataService:
    """Of that estate; what it calls random is not."""
    return MetadataService(estate.database, lambda: b"seed")
