"""Clouds for the tests with real clients: one for each test process, and one of its own for the test that breaks it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.clients.cloud import ADMIN, RunningCloud
from tests.clients.servers import IMAGE, KEY, Servers, wait_until


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Three simulated hosts, for tests that leave nothing behind."""
    with RunningCloud(tmp_path_factory.mktemp("cloud"), "--simulated", "3") as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: RunningCloud) -> Iterator[RunningCloud]:
    """The shared cloud; what it logs during a test that fails is shown."""
    before = shared_cloud.log.stat().st_size
    yield shared_cloud
    print(f"Logged by {shared_cloud.url}:\n{shared_cloud.logged(before)}")


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Callable[..., RunningCloud]]:
    """Makes clouds of the test's own: `own_cloud("--simulated", "1")`, started."""
    with ExitStack() as ended:
        made: list[RunningCloud] = []

        def make(*arguments: str) -> RunningCloud:
            cloud = RunningCloud(tmp_path / f"cloud-{len(made)}", *arguments)
            made.append(cloud)
            return ended.enter_context(cloud)

        yield make
        for each in made:
            print(f"Logged by {each.url}:\n{each.logged()}")


@pytest.fixture(scope="module")
def prepared(shared_cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An image and a key of the member's."""
    folder = tmp_path_factory.mktemp("image")
    raw, key = folder / "image.raw", folder / "key.pub"
    raw.write_bytes(bytes(1024**2))
    key.write_bytes(Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    shared_cloud.openstack(
        "image", "create", "--disk-format", "raw", "--file", str(raw), "--public", IMAGE, cloud=ADMIN
    )
    shared_cloud.openstack("keypair", "create", "--public-key", str(key), KEY)
    yield
    shared_cloud.openstack("keypair", "delete", KEY)
    shared_cloud.openstack("image", "delete", IMAGE, cloud=ADMIN)


@pytest.fixture
def servers(cloud: RunningCloud, prepared: None) -> Iterator[Servers]:
    """No server is there before, and none after."""
    made = Servers(cloud)
    yield made
    admin = cloud.sdk(ADMIN).compute
    for server in admin.servers(all_projects=True):
        admin.unlock_server(server.id)
        admin.delete_server(server.id)
    wait_until(lambda: not list(admin.servers(all_projects=True)), "all servers are gone")
