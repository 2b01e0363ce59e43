"""Planted bugs: each is found, whatever the base seed, by an invariant that is about it."""

import pytest

from simulation.plants import PLANTS
from simulation.run import Found, run

MOST_HISTORIES = 300
BASES = ("one", "two", "three")


def found_with(plant: str, base: str) -> Found:
    seeds = (f"{base}-{number}" for number in range(MOST_HISTORIES))
    return run(seeds, plant=plant, kinds=PLANTS[plant].faults, shrunken=False)


@pytest.mark.parametrize("plant", list(PLANTS))
def test_a_planted_bug_is_found_each_time(plant: str) -> None:
    for base in BASES:
        found = found_with(plant, base)
        assert found.failed is not None, f"{plant} was not found in {MOST_HISTORIES} histories of {base}"
        assert found.failed.violation is not None
        print(f"{plant}, base seed {base}: history {found.figures.histories}, by {found.failed.violation}")
        assert found.failed.violation.invariant in PLANTS[plant].found_by
