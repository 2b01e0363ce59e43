"""A worker whose link loses answers and whose holds come and go: no step runs twice at once, none in vain."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from polyvisor.hypervisor.permit import Fenced, ensure_permitted
from polyvisor.hypervisor.simulated import SimulatedDriver, SimulatedSettings
from polyvisor.model.link import Beat, Glimpse, Held, Hold, Inventory, Lease, Report, Role
from polyvisor.model.operation import Operation, OperationState
from polyvisor.operate.definition import Again, Run
from polyvisor.operate.definition import Operation as Definition
from polyvisor.operate.link import LinkDown
from polyvisor.operate.station import Station

PATIENCE_SECONDS = 180
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Script:
    """A link whose answers the test gives, and an operation of one step that the test holds up."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.held = Held()
        self.leases: list[Lease] = []
        self.reports: list[Report] = []
        self.exchanges: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.beats: list[Beat] = []
        self.down = False
        self.begun: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gates: dict[int, threading.Event] = {}
        self.refusals: list[str] = []
        self.kind: Definition[dict[str, str]] = Definition("test", dict[str, str])
        step = self.kind.step(at=lambda _outputs: "sim")(self._step)
        step.undo(self._undo)

    # The step

    def work(self, run: Run[dict[str, str]]) -> str:
        """Waits for its gate, then asks whether it may go on."""
        with self.changed:
            number = len(self.begun)
            self.begun.append("do")
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.changed.notify_all()
        try:
            assert self.gates.setdefault(number, threading.Event()).wait(PATIENCE_SECONDS)
            ensure_permitted()
            run.progress(0.5, "half")
            return f"run {number}"
        except Fenced as error:
            self.refusals.append(str(error))
            raise
        finally:
            with self.changed:
                self.at_once -= 1
                self.changed.notify_all()

    def _step(self, run: Run[dict[str, str]]) -> str | Again:
        return self.work(run)

    def _undo(self, run: Run[dict[str, str]]) -> Again | None:
        with self.changed:
            self.begun.append("undo")
            self.most_at_once = max(self.most_at_once, self.at_once + 1)
            self.changed.notify_all()
        return None

    def go_on(self, number: int) -> None:
        """Let the run with this number go on."""
        self.gates.setdefault(number, threading.Event()).set()

    # The link

    def exchange(
        self, places: tuple[str, ...], reports: list[Report], most: int, running: tuple[str, ...] = ()
    ) -> list[Lease]:
        """As Link has it."""
        with self.changed:
            self.exchanges.append((places, running))
            self.changed.notify_all()
            if self.down:
                raise LinkDown("Nobody answers.")
            self.reports += reports
            given, self.leases = (self.leases, []) if "sim" in places else ([], self.leases)
            return given

    def wait(self, places: tuple[str, ...], timeout_seconds: float) -> None:
        """Until there is a lease to take, or a moment has passed."""
        with self.changed:
            self.changed.wait_for(lambda: bool(self.leases), 0.02)

    def poke(self) -> None:
        """Waits are short here."""

    def beat(self, beat: Beat) -> Held:
        """As Link has it."""
        with self.changed:
            self.beats.append(beat)
            self.changed.notify_all()
            if self.down:
                raise LinkDown("Nobody answers.")
            return Held() if beat.leaving else self.held

    def note(self, place: str, epoch: int, notes: dict[str, str]) -> None:
        """Nothing to note."""

    def inventory(self, found: Inventory) -> None:
        """Not looked at here."""

    def glimpse(self, found: Glimpse) -> None:
        """Not looked at here."""

    # The test's side

    def hold(self, epoch: int, role: Role = Role.ACTIVE) -> None:
        """From the next beat on."""
        with self.changed:
            self.held = Held(holds=(Hold(place="sim", role=role, epoch=epoch, lease_seconds=10.0),))

    def lease(self, epoch: int, *, undo: bool = False) -> None:
        """Hand the one operation over."""
        row = Operation(
            id="o1", kind="test", target_id="s", project_id="p", user_id="u", request_id="r", args={},
            state=OperationState.UNWINDING if undo else OperationState.RUNNING, step=0, place="sim", due_at=NOW,
            lease_owner="me", lease_epoch=epoch, created_at=NOW, updated_at=NOW,
        )  # fmt: skip
        with self.changed:
            self.leases.append(Lease(operation=row, undo=undo))
            self.changed.notify_all()

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for a condition."""
        with self.changed:
            assert self.changed.wait_for(true, PATIENCE_SECONDS)

    def taken(self) -> None:
        """Wait until what was leased was handed over, and an exchange has followed."""
        self.until(lambda: not self.leases)
        seen = len(self.exchanges)
        self.until(lambda: len(self.exchanges) > seen + 1)


class Clock:
    """Steady, and moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Of the holds."""
    return Clock()


@pytest.fixture
def script() -> Script:
    """ACTIVE under the epoch 1."""
    made = Script()
    made.hold(1)
    return made


@pytest.fixture
def station(script: Script, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    """At work, with beats in quick succession."""
    monkeypatch.setattr("polyvisor.operate.heartbeat.BEAT_SECONDS", 0.02)
    driver = SimulatedDriver("sim", SimulatedSettings())
    source: Any = object()
    made = Station(
        script, {"sim": driver}, {"sim": "simulated"}, {"test": script.kind}, lambda _step: source, lambda: NOW, clock
    )
    made.start()
    yield made
    for number in range(5):
        script.go_on(number)
    made.stop()
    driver.close()


def test_a_step_that_is_leased_again_goes_on_and_is_reported_under_the_newer_lease(
    station: Station, script: Script
) -> None:
    script.lease(1)
    script.until(lambda: len(script.begun) == 1)
    script.lease(2)
    script.taken()
    script.go_on(0)
    script.until(lambda: bool(script.reports))
    assert script.begun == ["do"]
    assert [(each.epoch, each.outcome, each.output) for each in script.reports] == [(2, "done", "run 0")]


def test_a_step_that_is_leased_again_after_the_place_was_anothers_ends_first_and_is_begun_anew(
    station: Station, script: Script
) -> None:
    script.lease(1)
    script.until(lambda: len(script.begun) == 1)
    script.hold(3)
    script.until(lambda: station.holds.epoch("sim") == 3)
    script.lease(5)
    script.taken()
    assert script.begun == ["do"], "never twice at once"
    script.go_on(0)
    script.until(lambda: len(script.begun) == 2)
    script.go_on(1)
    script.until(lambda: bool(script.reports))
    assert len(script.refusals) == 1, "the first run was stopped at its next request"
    assert [(each.epoch, each.output) for each in script.reports] == [(5, "run 1")]
    assert script.most_at_once == 1


def test_an_undo_waits_for_the_run_that_it_undoes(station: Station, script: Script) -> None:
    script.lease(1)
    script.until(lambda: len(script.begun) == 1)
    script.lease(2, undo=True)
    script.taken()
    script.go_on(0)
    script.until(lambda: bool(script.reports))
    assert script.begun == ["do", "undo"]
    assert script.most_at_once == 1
    assert [(each.epoch, each.outcome) for each in script.reports] == [(2, "done")]


def test_steps_of_a_place_that_is_lost_are_left_to_another_and_not_reported(station: Station, script: Script) -> None:
    script.lease(1)
    script.until(lambda: len(script.begun) == 1)
    script.hold(1, Role.STANDBY)
    script.until(lambda: station.holds.active() == ())
    script.go_on(0)
    script.until(lambda: script.at_once == 0)
    beats = len(script.beats)
    script.until(lambda: len(script.beats) > beats + 2)
    assert len(script.refusals) == 1
    assert script.reports == []
    assert script.beats[-1].running == ()


def test_a_step_whose_hold_has_run_out_in_silence_is_tried_again(
    station: Station, script: Script, clock: Clock
) -> None:
    script.lease(1)
    script.until(lambda: len(script.begun) == 1)
    script.down = True
    clock.now += 11
    script.go_on(0)
    script.until(lambda: script.at_once == 0)
    assert len(script.refusals) == 1
    script.down = False
    script.until(lambda: bool(script.reports))
    assert [each.outcome for each in script.reports] == ["unreachable"]


def test_reports_that_could_not_be_handed_in_are_handed_in_again(station: Station, script: Script) -> None:
    script.lease(1)
    script.until(lambda: len(script.begun) == 1)
    script.down = True
    script.go_on(0)
    script.until(lambda: script.at_once == 0)
    seen = len(script.exchanges)
    script.until(lambda: len(script.exchanges) > seen + 1)
    script.down = False
    script.until(lambda: bool(script.reports))
    assert [(each.epoch, each.outcome) for each in script.reports] == [(1, "done")]


def test_what_runs_is_told_with_every_exchange_and_beat(station: Station, script: Script) -> None:
    script.lease(1)
    script.until(lambda: len(script.begun) == 1)
    script.until(lambda: script.exchanges[-1] == (("sim",), ("o1",)))
    script.until(lambda: script.beats[-1].running == ("o1",))
    script.go_on(0)
    script.until(lambda: script.beats[-1].running == ())


def test_a_lease_that_comes_when_the_hold_is_over_is_given_back_unbegun(
    station: Station, script: Script, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.until(lambda: bool(script.exchanges))
    real = script.exchange

    def late(*args: Any) -> list[Lease]:
        given = real(*args)
        if given:
            clock.now += 11
            script.down = True
        return given

    monkeypatch.setattr(script, "exchange", late)
    script.lease(1)
    script.until(lambda: script.down)
    script.down = False
    script.until(lambda: bool(script.reports))
    assert [(each.outcome, each.epoch) for each in script.reports] == [("again", 1)]
    assert script.begun == []


def test_a_standby_is_given_no_steps_and_takes_over_when_the_place_is_its_own(script: Script, station: Station) -> None:
    script.hold(1, Role.STANDBY)
    script.until(lambda: station.holds.active() == ())
    script.lease(1)
    seen = len(script.beats)
    script.until(lambda: len(script.beats) > seen + 3)
    assert script.begun == []
    script.hold(2)
    script.until(lambda: script.begun == ["do"])
    script.go_on(0)


def test_an_end_gives_the_places_back_after_its_last_report(script: Script, station: Station) -> None:
    script.lease(1)
    script.until(lambda: len(script.begun) == 1)
    threading.Timer(0.1, script.go_on, [0]).start()
    assert station.stop(patience_seconds=PATIENCE_SECONDS)
    assert [each.outcome for each in script.reports] == ["done"]
    assert script.beats[-1].leaving
    assert not any(beat.leaving for beat in script.beats[:-1])


def test_a_worker_that_reaches_nobody_goes_on_asking(script: Script, station: Station) -> None:
    script.down = True
    seen = len(script.exchanges)
    script.until(lambda: len(script.exchanges) >= seen + 3)
    script.down = False
    script.lease(1)
    script.until(lambda: script.begun == ["do"])
    script.go_on(0)


def test_a_report_names_the_newest_lease_even_of_a_failure() -> None:
    from polyvisor.operate.step_run import StepRun

    row = Operation(
        id="o1", kind="test", target_id="s", project_id="p", user_id="u", request_id="r", args={},
        state=OperationState.RUNNING, step=0, place="sim", due_at=NOW, lease_epoch=1, created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    run = StepRun(Lease(operation=row, undo=False))
    run.lease_again(Lease(operation=msgspec.structs.replace(row, lease_epoch=4), undo=False))
    assert run.report("failed", error="No.").epoch == 4
