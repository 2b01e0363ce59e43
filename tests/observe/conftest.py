"""One watched cloud for each test process."""

from collections.abc import Iterator

import pytest

from tests.observe.observed import ObservedCloud
from tests.observe.receiver import Receiver


@pytest.fixture(scope="session")
def shared_observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObservedCloud]:
    """It runs until the end."""
    with Receiver() as receiver:
        cloud = ObservedCloud(tmp_path_factory.mktemp("observed"), receiver)
        try:
            cloud.begin()
            yield cloud
        finally:
            cloud.__exit__()


@pytest.fixture
def observed(shared_observed: ObservedCloud) -> Iterator[ObservedCloud]:
    """The shared one; what it logs during a test that fails is shown."""
    before = shared_observed.log.stat().st_size
    yield shared_observed
    print(f"Logged:\n{shared_observed.logged(before)[-20_000:]}")
