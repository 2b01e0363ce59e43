"""The heartbeat: what it does with the answers, without any server."""

import threading
from collections.abc import Collection
from typing import Any

import pytest

from polyvisor.model.link import Beat, Held, Hold, Role
from polyvisor.operate.heartbeat import Heartbeat
from polyvisor.operate.holds import Holds
from polyvisor.operate.link import LinkDown


class Link:
    """Answers beats as the script says, then with nothing; what it cannot answer any more ends the test's wait."""

    def __init__(self, *script: Held | Exception) -> None:
        self._script = list(script)
        self.heard: list[set[str]] = []
        self.running: list[tuple[str, ...]] = []
        self.done = threading.Event()

    def beat(self, beat: Beat) -> Held:
        self.heard.append({state.name for state in beat.places})
        self.running.append(beat.running)
        answer = self._script.pop(0) if self._script else Held()
        if not self._script:
            self.done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def poke(self) -> None:
        """Nobody waits."""


class Worker:
    """Remembers which places were lost."""

    def __init__(self, at_work: Collection[str] = (), unreported: Collection[str] = ()) -> None:
        self.lost: list[str] = []
        self.stopped: list[str] = []
        self._at_work, self._unreported = at_work, unreported

    def at_work(self) -> dict[str, Any]:
        return dict.fromkeys(self._at_work)

    def unreported(self) -> tuple[str, ...]:
        return tuple(self._unreported)

    def lose(self, places: Collection[str]) -> None:
        self.lost += places

    def stop_steps(self, ids: Collection[str]) -> None:
        self.stopped += ids


class Place:
    """A place that is as it should be."""

    trouble = ""

    def recall(self, notes: Any) -> None:
        """Nothing is noted."""

    def look_now(self) -> None:
        """Nothing is to be seen."""


def holds(**roles: Role) -> Held:
    return Held(holds=tuple(Hold(place=name, role=role, epoch=1, lease_seconds=10) for name, role in roles.items()))


def run(link: Link, monkeypatch: pytest.MonkeyPatch, worker: Worker | None = None) -> Worker:
    """Beat until the script is at its end."""
    monkeypatch.setattr("polyvisor.operate.heartbeat.BEAT_SECONDS", 0.01)
    worker = worker or Worker()
    places = {"a": Place(), "b": Place()}
    heartbeat = Heartbeat(link, Holds(lambda: 0.0), worker, places, {}, lambda: 0.0)  # type: ignore[arg-type]
    heartbeat.start()
    assert link.done.wait(60)
    heartbeat.stop()
    return worker


BOTH = {"a", "b"}
MINE = holds(a=Role.ACTIVE, b=Role.ACTIVE)
ONE_LESS = holds(a=Role.STANDBY, b=Role.ACTIVE)


def test_what_is_to_be_anothers_is_let_go_of_at_once_and_offered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(MINE, ONE_LESS, holds(b=Role.ACTIVE), ONE_LESS)
    worker = run(link, monkeypatch)
    assert link.heard[:4] == [BOTH, BOTH, {"b"}, BOTH]
    assert worker.lost[0] == "a"


def test_a_standby_has_nothing_to_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(ONE_LESS, ONE_LESS, ONE_LESS)
    run(link, monkeypatch)
    assert link.heard[:3] == [BOTH, BOTH, BOTH]


def test_a_server_that_does_not_hear_it_is_asked_as_always(monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(MINE, ONE_LESS, LinkDown("It does not answer."), ONE_LESS)
    run(link, monkeypatch)
    assert link.heard[:4] == [BOTH, BOTH, {"b"}, BOTH]


def test_leases_of_what_has_ended_and_is_not_handed_in_yet_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with much to do takes reports in late: the steps are not to be done again for that."""
    link = Link(Held(stopped=("handed-in-meanwhile", "cancelled")))
    worker = run(link, monkeypatch, Worker(at_work=["cancelled", "going-on"], unreported=["handed-in-meanwhile"]))
    assert link.running[0] == ("cancelled", "going-on", "handed-in-meanwhile")
    assert worker.stopped == ["cancelled"]
