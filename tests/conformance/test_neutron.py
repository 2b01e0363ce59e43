"""The API tests of Neutron's plugin for Tempest, unmodified.

All that pass are in `neutron/passing.txt`; those of `neutron/often.txt` run here, all smoke tests among them.
`python -m tests.conformance.whole neutron` runs the rest as well.
"""

import subprocess
from pathlib import Path

import pytest

from tests.clients.cloud import RunningCloud
from tests.conformance import lists
from tests.conformance.beds import TEMPEST_SETTINGS, neutron_tempest_plugin
from tests.conformance.environment import not_passed, python, run_tests

ROOT = "neutron_tempest_plugin.api"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"
_LIST = """
import unittest
from pathlib import Path
import neutron_tempest_plugin.api as root

def cases(suite):
    return [case for each in suite for case in cases(each)] if isinstance(suite, unittest.TestSuite) else [suite]

folder = Path(root.__file__).parent
for case in cases(unittest.TestLoader().discover(str(folder), "test_*.py", str(folder.parents[1]))):
    print(case.id())
"""


@pytest.mark.timeout(900)
def test_the_tests_that_run_often_pass(tmp_path: Path) -> None:
    settings = tmp_path / "polyvisor.toml"
    settings.write_text(TEMPEST_SETTINGS)
    with RunningCloud(tmp_path / "cloud", "--simulated", "3", "--config", str(settings)) as cloud:
        environment = neutron_tempest_plugin(cloud, tmp_path)
        results = run_tests(ROOT, lists.often("neutron"), tmp_path, environment)
        failures = not_passed(lists.often("neutron"), results)
        assert not failures, f"{failures}\n{cloud.logged()[-20_000:]}"


@pytest.mark.timeout(900)
def test_the_lists_name_every_test_once_and_run_every_smoke_test(tmp_path: Path) -> None:
    """Nothing is left out by silence: what does not pass stands in the other list, with its reason."""
    (tmp_path / "tempest.conf").write_text("[service_available]\nneutron = True\n")
    done = subprocess.run(
        [python(), "-c", _LIST],
        env={"TEMPEST_CONFIG_DIR": str(tmp_path), "TEMPEST_CONFIG": "tempest.conf", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith(ROOT)]  # and no log
    assert sorted(id.partition("[")[0] for id in found) == lists.every("neutron")
    smoke = {id.partition("[")[0] for id in found if "smoke" in id.partition("[")[2]}
    passing, often = set(lists.passing("neutron")), set(lists.often("neutron"))
    assert len(smoke) > 20
    assert smoke & passing <= often <= passing


def test_the_reference_tells_the_same_numbers() -> None:
    assert lists.table("neutron") in REFERENCE.read_text(encoding="utf-8")
