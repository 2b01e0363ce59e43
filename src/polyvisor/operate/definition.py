"""What an operation is made of: named steps, each with its place and its undo."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from polyvisor.model.operation import CONTROL
from polyvisor.model.operation import Operation as Row

if TYPE_CHECKING:
    from polyvisor.hypervisor.driver import Driver, ImageSource, Progress
    from polyvisor.operate.tools import ControlTools
    from polyvisor.store.store import Store

A = TypeVar("A")
T = TypeVar("T")

Outputs = Mapping[str, Any]
"""Outputs of the finished steps, by step name, as builtins."""
PlaceRule = Callable[[Outputs], str]
"""Where a step runs, told from the outputs of the steps before it."""


class Again(msgspec.Struct, frozen=True):
    """Returned by a step that waits for something: run it again after `seconds`."""

    seconds: float
    waits_for: str = ""
    """What it waits for, or how far it is, in words for the operator; only of steps at control."""
    fraction: float = 0.0
    """How far it is, from 0 to 1."""

    def told(self) -> dict[str, Any]:
        """What the operation's row shows of it."""
        return {"progress": self.fraction, "progress_of": self.waits_for[:255]} if self.waits_for else {}


class Restart(msgspec.Struct, frozen=True):
    """Returned by an `unwound` hook: begin the operation anew."""


def control(_outputs: Outputs) -> str:
    """The place of steps that use the store."""
    return CONTROL


def place_of(step: Step[Any, Any]) -> PlaceRule:
    """The hypervisor connection named in the `place` of an earlier step's output."""

    def rule(outputs: Outputs) -> str:
        return str(outputs[step.name]["place"])

    return rule


class Run(Generic[A]):
    """One run of one step. At control it has `store` and `tools`; at a host `driver`, `source` and `progress`."""

    def __init__(
        self,
        row: Row,
        args: A,
        outputs: Outputs,
        now: datetime,
        *,
        store: Store | None = None,
        tools: ControlTools | None = None,
        driver: Driver | None = None,
        source: ImageSource | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.row = row
        self.args = args
        self.now = now
        self.outputs = outputs
        self._store, self._tools = store, tools
        self._driver, self._source, self._progress = driver, source, progress

    def of(self, step: Step[Any, T]) -> T:
        """The output of a step that has ended, in its type. Raises KeyError when it has not."""
        return typing.cast(T, msgspec.convert(self.outputs[step.name], step.output_type))

    def has(self, step: Step[Any, Any]) -> bool:
        """Whether the step has ended and was not undone."""
        return step.name in self.outputs

    @property
    def store(self) -> Store:
        """The transaction in which this step and its journal entry become true together."""
        return _only("control", self._store)

    @property
    def tools(self) -> ControlTools:
        """The scheduler's table and the settings."""
        return _only("control", self._tools)

    @property
    def driver(self) -> Driver:
        """The driver of this step's place."""
        return _only("a host", self._driver)

    @property
    def source(self) -> ImageSource:
        """Where image bytes come from."""
        return _only("a host", self._source)

    @property
    def progress(self) -> Progress:
        """To be called now and then by a long step."""
        return _only("a host", self._progress)


def _only(where: str, value: T | None) -> T:
    if value is None:
        raise RuntimeError(f"This is only there for steps at {where}.")
    return value


class Step(Generic[A, T]):
    """One step: what to do, what undoes it, where it runs, and how long it may go on saying Again."""

    def __init__(self, do: Callable[[Run[A]], T | Again], at: PlaceRule, patience_seconds: float) -> None:
        self.name: str = do.__name__
        self.do = do
        self.at = at
        self.patience_seconds = patience_seconds
        self.undo_step: Callable[[Run[A]], Again | None] | None = None

    @property
    def output_type(self) -> Any:
        """The type of the output, from the step's annotation, without Again."""
        returned = typing.get_type_hints(self.do)["return"]
        arguments = [kind for kind in typing.get_args(returned) if kind is not Again]
        return typing.Union[tuple(arguments)] if arguments else returned  # noqa: UP007

    def undo(self, undo: Callable[[Run[A]], Again | None]) -> Callable[[Run[A]], Again | None]:
        """Name what undoes the step; it runs also when the step itself failed half-way, and may run twice."""
        self.undo_step = undo
        return undo


class Operation(Generic[A]):
    """A kind of operation: its steps in order."""

    def __init__(self, kind: str, args: type[A]) -> None:
        self.kind = kind
        self.args_type = args
        self.steps: list[Step[A, Any]] = []
        self.unwound_hook: Callable[[Run[A]], Restart | None] | None = None

    def step(
        self, at: PlaceRule, patience_seconds: float = 3600
    ) -> Callable[[Callable[[Run[A]], T | Again]], Step[A, T]]:
        """Add a step. `patience_seconds`: how long it may say Again, or find no hypervisor, before it fails."""

        def add(do: Callable[[Run[A]], T | Again]) -> Step[A, T]:
            step: Step[A, T] = Step(do, at, patience_seconds)
            self.steps.append(step)
            return step

        return add

    def unwound(self, hook: Callable[[Run[A]], Restart | None]) -> Callable[[Run[A]], Restart | None]:
        """Name what is recorded, at control, once a failed operation has unwound."""
        self.unwound_hook = hook
        return hook

    def args(self, row: Row) -> A:
        """The row's arguments in their type."""
        return msgspec.convert(row.args, self.args_type)
