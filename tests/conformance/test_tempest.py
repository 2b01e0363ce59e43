"""Tempest's tests of the OpenStack Powered guideline for Identity, Image and Compute, unmodified."""

from pathlib import Path

import pytest

from tests.clients.cloud import RunningCloud
from tests.conformance import lists
from tests.conformance.beds import TEMPEST_SETTINGS, tempest
from tests.conformance.environment import not_passed, run_tests

GUIDELINE = Path(__file__).parent / "tempest" / "interop-2022.11.txt"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"


@pytest.mark.timeout(900)
def test_every_test_that_has_passed_passes(tmp_path: Path) -> None:
    settings = tmp_path / "polyvisor.toml"
    settings.write_text(TEMPEST_SETTINGS)
    with RunningCloud(tmp_path / "cloud", "--simulated", "3", "--config", str(settings)) as cloud:
        environment = tempest(cloud, tmp_path)
        results = run_tests("tempest.api", lists.passing("tempest"), tmp_path, environment)
        failures = not_passed(lists.passing("tempest"), results)
        assert not failures, f"{failures}\n{cloud.logged()[-20_000:]}"


def test_the_lists_name_every_test_of_the_guideline_once() -> None:
    guideline = GUIDELINE.read_text(encoding="utf-8").splitlines()
    assert sorted(line.partition("[")[0] for line in guideline) == lists.every("tempest")


def test_the_reference_tells_the_same_numbers() -> None:
    assert lists.table("tempest") in REFERENCE.read_text(encoding="utf-8")
