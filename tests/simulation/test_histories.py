"""Histories of a whole cloud with faults: no seed may break an invariant."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulation.run import run

ROOT = Path(__file__).parents[2]
FIRST = 2000
PARTS = 20
HISTORIES = 100


@pytest.mark.parametrize("part", range(PARTS))
def test_no_history_breaks_an_invariant(part: int) -> None:
    first = FIRST + part * HISTORIES
    found = run(str(seed) for seed in range(first, first + HISTORIES))
    print(f"seeds {first} to {first + HISTORIES - 1}\n{found.figures.text()}")
    assert found.failed is None, found.text()
    assert found.figures.histories == HISTORIES
    assert found.figures.granted > HISTORIES  # people were served
    assert len(found.figures.faults) > 15  # and nearly every kind of fault struck


def test_a_seed_gives_the_same_history_byte_for_byte_in_any_process() -> None:
    script = (
        "from simulation.run import run\n"
        "run((str(seed) for seed in range(7000, 7012)), each=lambda o: print(o.plan.seed, o.events, o.trace.digest()))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env={"PYTHONHASHSEED": hash_seed, "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, check=True, timeout=300,
        ).stdout
        for hash_seed in ("1", "2")
    ]  # fmt: skip
    assert len(told[0].splitlines()) == 12
    assert told[0] == told[1]
