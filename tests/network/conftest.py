"""One OVN for all tests of a process: it starts in two seconds, and each test leaves it empty."""

from collections.abc import Iterator

import pytest

from testbed.ovn import TestOvn
from tests.network.beds import Bed, OvnBed, SimulatedBed


@pytest.fixture(scope="session")
def shared_ovn() -> Iterator[TestOvn]:
    """With two chassis; whatever a test leaves in it is removed by `ovn`."""
    with TestOvn(chassis=2) as ovn:
        yield ovn


@pytest.fixture
def ovn(shared_ovn: TestOvn) -> Iterator[TestOvn]:
    """Without a row of anybody's."""
    yield shared_ovn
    shared_ovn.clear()


@pytest.fixture(params=["simulated", pytest.param("ovn", marks=pytest.mark.xdist_group("ovn"))])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """Each backend there is."""
    made: Bed = SimulatedBed() if request.param == "simulated" else OvnBed(request.getfixturevalue("ovn"))
    yield made
    made.backend.close()
