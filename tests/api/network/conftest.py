"""The Networking API over a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.api.network.service import service
from polyvisor.model.network_settings import NetworkSettings, PhysicalNetwork
from tests.api.cloud import ApiCloud

SETTINGS = NetworkSettings(
    tenant_network_types=("geneve", "vlan"),
    geneve_ids="1:1000",
    physical=(
        PhysicalNetwork(name="site", vlans=("100:103",), flat=True, mtu=9000),
        PhysicalNetwork(name="lab", vlans=()),
    ),
)


@pytest.fixture
def settings() -> NetworkSettings:
    """A module overrides this fixture for a site of its own."""
    return SETTINGS


@pytest.fixture
def cloud(tmp_path: Path, database_url: str, settings: NetworkSettings) -> Iterator[ApiCloud]:
    """The service, and callers of every kind."""
    with ApiCloud(tmp_path, [service], parts=[settings], database_url=database_url) as cloud:
        yield cloud
