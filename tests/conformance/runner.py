"""Runs tests of other projects by their ids, and writes one line of JSON for each: a program for their environment.

    python runner.py ROOT IDS RESULTS

ROOT is the package whose tests are searched, IDS a file of ids, one a line (empty: all that are found). It needs the
standard library alone, so that it runs where those projects are installed and this one is not.
"""

import json
import sys
import time
import traceback
import unittest
from pathlib import Path
from typing import Any, TextIO

# ruff: noqa: N802 - unittest names the methods


class JsonResult(unittest.TestResult):
    """Writes how each test ended, when it has."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._started = time.monotonic()

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._started = time.monotonic()

    def _write(self, test: Any, outcome: str, detail: str = "") -> None:
        seconds = round(time.monotonic() - self._started, 3)
        line = {"id": test.id(), "outcome": outcome, "detail": detail, "seconds": seconds}
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()

    def addSuccess(self, test: unittest.TestCase) -> None:
        self._write(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any = None, details: Any = None) -> None:
        self._write(test, "failed", _text(err, details))

    def addFailure(self, test: unittest.TestCase, err: Any = None, details: Any = None) -> None:
        self._write(test, "failed", _text(err, details))

    def addSkip(self, test: unittest.TestCase, reason: str = "", details: Any = None) -> None:
        said = reason or (details["reason"].as_text() if details and "reason" in details else "")
        self._write(test, "skipped", said)


def _text(err: Any, details: Any) -> str:
    """The traceback, from whichever of the two forms unittest and testtools give."""
    if details:
        tracebacks = [value.as_text() for name, value in details.items() if name.startswith("traceback")]
        return "\n".join(tracebacks) or str(details)
    return "".join(traceback.format_exception(*err))


def _cases(suite: Any) -> list[Any]:
    if not isinstance(suite, unittest.TestSuite):
        return [suite]
    return [case for each in suite for case in _cases(each)]


def plain(id: str) -> str:
    """Without the attributes in brackets, which Tempest adds."""
    return id.partition("[")[0].strip()


def main(root: str, ids: str, results: str) -> None:
    """Find, select, run."""
    package = __import__(root, fromlist=["__file__"])
    folder = Path(package.__file__ or package.__path__[0])
    folder = folder if folder.is_dir() else folder.parent
    top = folder
    for _ in root.split("."):
        top = top.parent
    found = _cases(unittest.TestLoader().discover(str(folder), "test_*.py", str(top)))
    wanted = {plain(line) for line in Path(ids).read_text(encoding="utf-8").splitlines() if line.strip()}
    chosen = [case for case in found if not wanted or plain(case.id()) in wanted]
    with Path(results).open("w", encoding="utf-8") as stream:
        unittest.TestSuite(chosen).run(JsonResult(stream))


if __name__ == "__main__":
    main(*sys.argv[1:])
