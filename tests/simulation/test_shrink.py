"""What is told of a history that breaks an invariant: its seed, what it takes, and what happened."""

import pytest

from simulation.__main__ import main
from simulation.plants import PLANTS
from simulation.run import run


def test_a_broken_history_is_cut_down_to_what_it_takes() -> None:
    plant = "leases kept on takeover"
    found = run((f"shrink-{n}" for n in range(150)), plant=plant, kinds=PLANTS[plant].faults)
    assert found.failed is not None
    assert found.smallest is not None
    assert found.smallest.violation is not None
    assert found.smallest.violation.invariant == "takeover"
    assert 1 <= len(found.smallest.plan.faults) <= 2
    assert len(found.smallest.plan.wishes) <= len(found.failed.plan.wishes)
    told = found.text()
    assert f"--seed {found.failed.plan.seed}" in told
    assert "killed at its" in told
    assert "VIOLATED takeover" in told


def test_the_command_prints_figures_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "40", "--histories", "3", "--trace"]) == 0
    told = capsys.readouterr().out
    assert "History of seed 42:" in told
    assert "No invariant was broken." in told
    assert "faults injected" in told


def test_the_command_ends_with_1_where_an_invariant_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seed", "planted", "--histories", "150", "--plant", "waiting not started", "--no-shrink"]
    assert main(arguments) == 1
    assert "breaks the invariant 'waiting'" in capsys.readouterr().out


def test_what_there_is_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    told = capsys.readouterr().out
    for word in ("kill", "fencing", "undo removed"):
        assert word in told
