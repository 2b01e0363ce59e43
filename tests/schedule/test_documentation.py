"""The page on scheduling names all that there is, and its example of a refusal is a true one."""

from pathlib import Path

import pytest

from polyvisor.schedule.filters.capabilities import NUMBERS, WORDS
from polyvisor.schedule.requirement import OPERATORS
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import RATIO_KEYS
from tests.schedule.test_refusal import a_full_cloud, refusal_of

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "scheduling.md").read_text()


@pytest.mark.parametrize(
    "word", sorted({*ScheduleSettings.__struct_fields__, *NUMBERS, *WORDS, *RATIO_KEYS, *OPERATORS})
)
def test_every_setting_key_and_operator_is_on_the_page(word: str) -> None:
    assert f"`{word}`" in PAGE or f"`{word} " in PAGE or f"{word} =" in PAGE


def test_the_refusal_on_the_page_is_what_the_scheduler_says() -> None:
    refusal = refusal_of(*a_full_cloud())
    quoted = " ".join(line.removeprefix("> ") for line in PAGE.splitlines() if line.startswith("> "))
    assert refusal.sentence in quoted
    for name in ("kvm-0", "cluster-1", "kvm-9"):
        assert f"{name:<10} {refusal.refusals[name]}" in PAGE
