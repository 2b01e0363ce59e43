"""What several processes of one cloud do at the same moment, on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.api.compute.service import service as compute
from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.service import service as identity
from polyvisor.model.network_settings import NetworkSettings
from polyvisor.model.project import Project
from polyvisor.model.settings import ComputeSettings
from polyvisor.store.database import Database
from tests.api.cloud import ApiCloud
from tests.api.compute import estate
from tests.api.compute.test_server import IMAGE
from tests.api.identity.conftest import CHEAP
from tests.databases import PATIENT


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    made = Database(postgresql_url, PATIENT)
    yield made
    made.close()


@pytest.fixture
def cloud(tmp_path: Path, postgresql_url: str) -> Iterator[ApiCloud]:
    """Identity and Compute, with an image, flavors and a host."""
    parts = [Passwords(CHEAP), CHEAP, ComputeSettings(), NetworkSettings(backend="none")]
    with ApiCloud(tmp_path, [identity, compute], parts, database_url=postgresql_url) as cloud:
        with cloud.database.write() as store:
            if store.project.find(cloud.project_id("demo")) is None:
                store.project.create(Project(id=cloud.project_id("demo"), name="demo", domain_id="default"))
            store.image.create(IMAGE)
            store.flavor.bootstrap(estate.NOW)
            store.host.join([estate.host("kvm-1")])
        yield cloud
