"""The operators of extra specs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvisor.model.place import allocatable, overcommit
from polyvisor.schedule.requirement import Requirement


@pytest.mark.parametrize(
    ("asked", "meeting", "failing"),
    [
        ("true", ["true"], ["True", "", "true "]),
        ("two words", ["two words"], ["two", "words"]),
        ("= 4", ["4", "5.5"], ["3.9", "four", ""]),
        (">= 4", ["4"], ["3"]),
        ("<= 4", ["4", "-1"], ["5"]),
        ("== 4", ["4", "4.0"], ["5"]),
        ("!= 4", ["5"], ["4.0", "four"]),
        ("s== 4", ["4"], ["4.0"]),
        ("s!= a", ["b"], ["a"]),
        ("s< b", ["a"], ["b", "c"]),
        ("s<= b", ["a", "b"], ["c"]),
        ("s> b", ["c"], ["b"]),
        ("s>= b", ["b", "c"], ["a"]),
        ("<in> 12", ["12", "4123"], ["1", "21"]),
        ("<all-in> aes sse", ["sse aes avx"], ["aes"]),
        ("<or> fpu <or> gpu", ["fpu", "gpu"], ["<or>", "tpu", "fpu gpu"]),
    ],
)
def test_an_operator_means_what_it_means_in_nova(asked: str, meeting: list[str], failing: list[str]) -> None:
    requirement = Requirement(asked)
    assert [value for value in [*meeting, *failing] if requirement.met_by(value)] == meeting


@given(
    st.sampled_from(["= 3", "== 3", "!= 3", ">= 3", "<= 3", "s== 3", "s< 3", "<in> 1", "<or> 1 <or> 12", "3"]),
    st.lists(st.integers(-5, 130)),
)
def test_many_numbers_are_judged_as_each_alone(asked: str, values: list[int]) -> None:
    requirement = Requirement(asked)
    together = requirement.met_by_each(np.array(values, dtype=np.int64))
    assert together.tolist() == [requirement.met_by(str(value)) for value in values]


def test_room_is_counted_in_whole_units_and_never_below_zero() -> None:
    assert allocatable(100, 0, 1.15) == 115
    assert allocatable(10, 4, 1.5) == 9
    assert allocatable(3, 0, 1.1) == 3
    assert allocatable(4, 8, 2.0) == 0
    assert allocatable(1 << 40, 0, 1e300) < 1 << 63


def test_of_several_ratios_the_smallest_readable_one_counts() -> None:
    metadata = [{"x": "3"}, {"x": "2.5"}, {"x": "-1"}, {"x": "nan"}, {"x": "many"}, {}]
    assert overcommit(16.0, metadata, "x") == 2.5
    assert overcommit(16.0, metadata[2:], "x") == 16.0
