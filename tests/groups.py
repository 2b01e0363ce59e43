"""Keeps the tests of one `xdist_group` in one process, so that they share a bed that is built once.

pytest-xdist does so itself (`--dist loadgroup`), by a mark at the end of a test's id. Its version 3.8 puts it where
pytest 9.2 does not read it any more, and each test is then alone. Here each process writes down which test is in which
group, and the scheduler reads it.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_FILE = "groups_file"


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives out groups as a whole; a test of no group is one of its own."""

    def __init__(self, config: pytest.Config, log: Any, file: Path) -> None:
        super().__init__(config, log)
        self._file = file
        self._groups: dict[str, str] | None = None

    def _split_scope(self, nodeid: str) -> str:
        if self._groups is None:  # asked for the first time, all processes have collected their tests
            self._groups = json.loads(self._file.read_text(encoding="utf-8"))
            self._file.unlink()
        return self._groups.get(nodeid, nodeid)


def _file(config: pytest.Config) -> Path:
    """Where the groups of this run are written."""
    known: str | None = getattr(config, f"_{_FILE}", None)
    if known is None:
        descriptor, known = tempfile.mkstemp(prefix="pv-groups-", suffix=".json")
        os.close(descriptor)
        setattr(config, f"_{_FILE}", known)
    return Path(known)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each process where to write."""
    if node.config.getoption("dist") == "loadgroup":
        node.workerinput[_FILE] = str(_file(node.config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what was not read, for nothing came to be run."""
    if (known := getattr(config, f"_{_FILE}", None)) is not None:
        Path(known).unlink(missing_ok=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Take the place of the scheduler for `--dist loadgroup`."""
    return GroupScheduling(config, log, _file(config)) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Write down the groups; all processes find the same ones."""
    told: dict[str, Any] = getattr(config, "workerinput", {})
    if _FILE not in told:
        return
    groups = {}
    for item in items:
        names = {str(mark.args[0]) for mark in item.iter_markers("xdist_group")}
        if names:
            groups[item.nodeid] = "_".join(sorted(names))
    passing = Path(f"{told[_FILE]}.{os.getpid()}")
    passing.write_text(json.dumps(groups), encoding="utf-8")
    passing.replace(told[_FILE])
