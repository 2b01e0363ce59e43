"""The Compute API over a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.api.compute.service import service
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.project import Project
from polyvisor.model.settings import ComputeSettings
from tests.api.client import ApiClient
from tests.api.cloud import ApiCloud


@pytest.fixture
def networking() -> NetworkSettings:
    """A module overrides this fixture to have networks."""
    return NetworkSettings(backend="none")


@pytest.fixture
def cloud(tmp_path: Path, database_url: str, networking: NetworkSettings) -> Iterator[ApiCloud]:
    with ApiCloud(tmp_path, [service], parts=[ComputeSettings(), networking], database_url=database_url) as cloud:
        with cloud.database.write() as store:
            for name in ("demo", "other"):
                if store.project.find(cloud.project_id(name)) is None:
                    store.project.create(Project(id=cloud.project_id(name), name=name, domain_id="default"))
        yield cloud


def at(client: ApiClient, version: str) -> ApiClient:
    """The same caller, at a microversion."""
    return client.with_headers(openstack_api_version=f"compute {version}")
