"""What the engine tells of its work: once each, only once it is true, and with the names that log lines carry."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import get_contextvars

from polyvisor.model.errors import NoHost
from polyvisor.model.operation import Operation, OperationState
from polyvisor.operate.watch import Moved, Running, about
from tests.operate.cloud import Cloud


class Seen:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, bool, str]] = []
        self.moved_rows: list[Moved] = []
        self.placed: list[bool] = []
        self.refused_by: list[dict[str, int]] = []
        self.named: list[dict[str, Any]] = []

    @contextmanager
    def step(self, row: Operation, name: str, *, undo: bool) -> Iterator[Running]:
        noted = Running()
        self.named.append(get_contextvars())
        yield noted
        self.steps.append((name, undo, noted.outcome))

    @contextmanager
    def placing(self) -> Iterator[None]:
        try:
            yield
        except NoHost as error:
            self.placed.append(False)
            self.refused_by.append(error.by_filter)
            raise
        self.placed.append(True)

    def moved(self, moved: Sequence[Moved]) -> None:
        self.moved_rows += moved

    @property
    def entries(self) -> list[tuple[str, str]]:
        """The journal as it was told."""
        return [(entry.step, entry.outcome) for each in self.moved_rows for entry in each.entries]

    @property
    def ended(self) -> list[tuple[str, OperationState]]:
        """The ends that were told."""
        return [(each.row.kind, each.row.state) for each in self.moved_rows if each.ended]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def cloud(tmp_path: Path, seen: Seen) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    made.engine.tools.watch = seen
    made.engine.tools.estate._watch = seen
    yield made
    made.close()


def test_each_step_and_the_end_are_told_once(cloud: Cloud, seen: Seen) -> None:
    cloud.ask_for_server()
    cloud.settle()
    names = ("claim", "prepare_image", "make", "boot", "finish")
    assert seen.entries == [(name, "done") for name in names]
    assert seen.ended == [("server.create", OperationState.DONE)]
    assert [name for name, _, outcome in seen.steps if outcome == "done"] == ["claim", "finish"], "the control steps"
    assert seen.placed == [True]


def test_a_refusal_and_its_unwinding_are_told(cloud: Cloud, seen: Seen) -> None:
    """The second server finds no room; what refused it is counted by filter."""
    cloud.ask_for_server("one")
    cloud.settle()
    del seen.moved_rows[:], seen.steps[:], seen.placed[:]
    cloud.ask_for_server("two")
    cloud.settle()
    assert seen.placed == [False]
    assert seen.refused_by == [{"vcpus": 1}]
    assert seen.entries == [("claim", "failed"), ("claim", "undone")]
    assert seen.ended == [("server.create", OperationState.FAILED)]
    assert seen.steps == [("claim", False, "failed"), ("claim", True, "done"), ("unwound", True, "done")]


def test_what_is_rolled_back_is_told_by_nobody(cloud: Cloud, seen: Seen) -> None:
    cloud.ask_for_server()

    def turn_in_vain() -> None:
        with cloud.database.write() as store:
            cloud.engine.turn(store, cloud.now)
            raise RuntimeError("the commit fails")

    with pytest.raises(RuntimeError):
        turn_in_vain()
    assert seen.steps, "it ran"
    assert seen.moved_rows == [], "and did not become true"
    cloud.settle()
    assert seen.entries[0] == ("claim", "done")
    assert len(seen.ended) == 1


def test_a_step_knows_what_it_belongs_to(cloud: Cloud, seen: Seen) -> None:
    id = cloud.ask_for_server()
    cloud.settle()
    for named, (step, _, _) in zip(seen.named, seen.steps, strict=True):
        assert named["server_id"] == id
        assert (named["step"], named["place"]) == (step, "control")
        assert named["operation_id"]
        assert named["project_id"] == "p"
    assert get_contextvars() == {}, "nothing of it clings to the thread"


def test_what_only_answers_names_the_server_all_the_same(cloud: Cloud) -> None:
    """Its target is its own; the server is in its arguments."""
    with about(_answer_operation(cloud), "locate"):
        assert get_contextvars()["server_id"] == "s1"


def _answer_operation(cloud: Cloud) -> Operation:
    with cloud.database.write() as store:
        return store.operation.begin(
            id="o1", kind="server.console_log", target_id="server.console_log:o1", project_id="p", user_id="u",
            request_id="req-1", args={"server_id": "s1", "length": None}, now=cloud.now, alone=True,
        )  # fmt: skip


def test_the_end_is_logged_with_its_names(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """As an error where the operator must act, and as information else."""
    caplog.set_level(logging.INFO, "polyvisor.operate")
    cloud.ask_for_server()
    cloud.settle()
    [record] = [each for each in caplog.records if each.name == "polyvisor.operate"]
    assert record.getMessage() == "operation server.create is done"
    assert structlog.contextvars.get_contextvars() == {}
