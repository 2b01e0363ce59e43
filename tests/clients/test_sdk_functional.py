"""openstacksdk's functional tests for Identity, Image, Compute and Networking, unmodified, against a running cloud."""

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.cloud import ADMIN, RunningCloud
from tests.conformance import lists
from tests.conformance.beds import another_user, devstack, devstack_clouds, empty_volume_service
from tests.conformance.environment import LOCK, not_passed, python, run_tests

ROOT = "openstack.tests.functional"
SCOPE = re.compile(
    r"openstack\.tests\.functional\.((identity|image|compute|network)\.|cloud\.test_(compute|identity|image|inv))"
)
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"
_LIST = """
import sys, unittest
from pathlib import Path
import openstack.tests.functional as root

def cases(suite):
    return [case for each in suite for case in cases(each)] if isinstance(suite, unittest.TestSuite) else [suite]

folder = Path(root.__file__).parent
for case in cases(unittest.TestLoader().discover(str(folder), "test_*.py", str(folder.parents[2]))):
    print(case.id())
"""


@pytest.mark.timeout(900)
def test_every_test_that_has_passed_passes(tmp_path: Path) -> None:
    with RunningCloud(tmp_path / "cloud", "--simulated", "3") as cloud, empty_volume_service() as volumes:
        devstack(cloud, tmp_path, volumes)
        alternative = another_user(cloud.sdk(ADMIN), "alt_demo")
        environment = devstack_clouds(cloud, tmp_path / "clouds.yaml", alternative)
        results = run_tests(ROOT, lists.passing("sdk"), tmp_path, environment)
        failures = not_passed(lists.passing("sdk"), results)
        assert not failures, f"{failures}\n{cloud.logged()[-20_000:]}"


@pytest.mark.timeout(900)
def test_the_lists_name_every_test_once(tmp_path: Path) -> None:
    """Nothing is left out by silence: what does not pass stands in the other list, with its reason."""
    # The package reads a clouds.yaml when it is imported; an empty one will do.
    (tmp_path / "clouds.yaml").write_text("clouds: {devstack-admin: {auth: {auth_url: http://127.0.0.1}}}")
    done = subprocess.run(
        [python(), "-c", _LIST],
        env={"OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = sorted(id for id in done.stdout.splitlines() if SCOPE.match(id))
    assert found == lists.every("sdk")


def test_the_tests_are_those_of_the_client_that_we_lock() -> None:
    assert f"openstacksdk=={importlib.metadata.version('openstacksdk')} " in LOCK.read_text(encoding="utf-8")


def test_the_reference_tells_the_same_numbers() -> None:
    assert lists.table("sdk") in REFERENCE.read_text(encoding="utf-8")
