"""Runs every test of a list that is too long for each test run, and says what differs from the list: a program.

    python -m tests.conformance.whole neutron

It takes some minutes, and ends with 1 where a test that should pass does not, or one that should not does.
"""

import sys
import tempfile
from pathlib import Path

from tests.clients.cloud import RunningCloud
from tests.conformance import lists
from tests.conformance.beds import TEMPEST_SETTINGS, neutron_tempest_plugin
from tests.conformance.environment import not_passed, run_tests

WHOLE_TIMEOUT_SECONDS = 3600


def neutron(folder: Path) -> list[str]:
    """What differs from the lists of Neutron's plugin for Tempest; nothing where all is as they say."""
    settings = folder / "polyvisor.toml"
    settings.write_text(TEMPEST_SETTINGS)
    with RunningCloud(folder / "cloud", "--simulated", "3", "--config", str(settings)) as cloud:
        environment = neutron_tempest_plugin(cloud, folder)
        results = run_tests(
            "neutron_tempest_plugin.api", [], folder, environment, timeout_seconds=WHOLE_TIMEOUT_SECONDS
        )
    passed = {id for id, row in results.items() if row["outcome"] == "passed"}
    print(f"{len(passed)} passed, {len(lists.passing('neutron'))} were to pass")
    failures = not_passed(lists.passing("neutron"), results)
    more = sorted(passed - set(lists.passing("neutron")))
    return [*([failures] if failures else []), *(f"{id}: passes, and is in the other list" for id in more)]


def main(name: str) -> int:
    """Run them; returns the program's exit code."""
    if name != "neutron":
        print("neutron is the one list that is not run as a whole by the tests", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        different = neutron(Path(folder))
    print("\n".join(different) or "All is as the lists say.")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
