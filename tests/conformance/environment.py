"""The environment in which tests of other projects run: made once under .cache, as requirements.lock says."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"
CACHE = HERE.parents[1] / ".cache" / "conformance"
RUN_TIMEOUT_SECONDS = 600


def python() -> Path:
    """The interpreter of the environment, which is made where it is missing."""
    name = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    ready = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of one test run would make it all at once
        if not ready.exists():
            made = CACHE / f"{name}.new"
            shutil.rmtree(made, ignore_errors=True)
            _make(made)
            made.rename(ready)
    return ready / "bin" / "python"


def _make(folder: Path) -> None:
    found = (shutil.which("uv"), str(CACHE.parent / "uv" / "bin" / "uv"))  # as the Makefile looks for it
    uv = next((path for path in found if path and Path(path).exists()), None)
    interpreter = str(folder / "bin" / "python")
    hashed = ("--quiet", "--require-hashes", "--requirement", str(LOCK))
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--python", interpreter, *hashed)
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(interpreter, "-m", "pip", "install", "--disable-pip-version-check", *hashed)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def run_tests(
    root: str,
    ids: list[str],
    folder: Path,
    environment: dict[str, str],
    *,
    timeout_seconds: float = RUN_TIMEOUT_SECONDS,
) -> dict[str, dict[str, Any]]:
    """Run the tests of a package by their ids (all of them for none), in a folder; returns what became of each."""
    wanted, results = folder / "ids", folder / "results"
    wanted.write_text("\n".join(ids))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    with (folder / "output").open("wb") as output:
        subprocess.run(
            [python(), HERE / "runner.py", root, wanted, results],
            cwd=folder,
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=True,
            timeout=timeout_seconds,
        )
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return {row["id"].partition("[")[0]: row for row in rows}


def not_passed(ids: list[str], results: dict[str, dict[str, Any]]) -> str:
    """A text about those of `ids` that did not pass; empty when all did."""
    lines = []
    for id in ids:
        row = results.get(id, {"outcome": "not run", "detail": ""})
        if row["outcome"] != "passed":
            lines.append(f"{id}: {row['outcome']}\n{row['detail']}")
    return "\n".join(lines)
