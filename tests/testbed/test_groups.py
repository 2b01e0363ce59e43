"""Tests of one `xdist_group` run in one process, whatever pytest and pytest-xdist agree on."""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.groups import *
"""
TESTS = """
import os, time
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(
    "group", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("one", "two", "three")] + ["alone"]
)
def test_it(group, number):
    time.sleep(0.05)
    with Path("told").open("a") as told:
        told.write(f"{group} {os.getpid()}\\n")
"""


def test_a_group_has_one_process_and_a_test_can_be_asked_for_by_its_id(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "temporary").mkdir()

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words], cwd=tmp_path, text=True,
            capture_output=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "16 passed" in run("-n", "2", "--dist", "loadgroup")
    processes = defaultdict(set)
    for line in (tmp_path / "told").read_text().splitlines():
        group, pid = line.split()
        processes[group].add(pid)
    assert [len(processes[group]) for group in ("one", "two", "three")] == [1, 1, 1]
    assert len(set.union(*processes.values())) == 2
    assert "1 passed" in run("test_it.py::test_it[one-0]")
    assert "1 passed" in run("-n", "1", "test_it.py::test_it[one-0]")
    assert list((tmp_path / "temporary").glob("pv-groups*")) == []
