"""What an agent is served once it has joined: places, steps, wake-ups, and sentences where something is wrong."""

import threading
import time
from datetime import UTC, datetime

import msgspec
import pytest

from polyvisor.api.agent import app
from polyvisor.model.agent import Party
from polyvisor.model.link import Inventory
from tests.api.agent.bed import PATIENCE_SECONDS, Answered, Bed, Caller


def begin(bed: Bed, place: str) -> str:
    """An operation whose last step is due at `place`; returns its id."""
    id, kind = bed.engine.tools.new_id(), "host.forget_images"
    with bed.database.write() as store:
        store.operation.begin(
            id=id, kind=kind, target_id=id, project_id="p", user_id="u", request_id="r", args={"host": "h"},
            now=bed.clock(),
        )  # fmt: skip
        row = store.operation.get(id)
        last = len(bed.engine.kinds[kind].steps) - 1
        store.operation.save([msgspec.structs.replace(row, place=place, step=last)])
        store.wake(place)
    return id


def test_an_agent_is_given_the_steps_of_its_place_and_its_word_on_them_counts(bed: Bed) -> None:
    agent = bed.join("kvm1", "kvm1")
    assert agent.roles("kvm1") == {"kvm1": "active"}
    id = begin(bed, "kvm1")
    answered = agent.say("exchange", places=["kvm1"], most=4)
    [lease] = answered.body["leases"]
    assert lease["operation"]["id"] == id
    report = {"operation_id": id, "epoch": lease["operation"]["lease_epoch"], "outcome": "done"}
    assert agent.say("exchange", places=["kvm1"], reports=[report], most=4).body == {"leases": []}
    with bed.database.read() as store:
        assert store.operation.get(id).state == "done"


def test_a_waiting_agent_is_woken_as_soon_as_there_is_something_to_do(bed: Bed) -> None:
    agent = bed.join("kvm1", "kvm1")
    agent.roles("kvm1")
    agent.say("exchange", places=["kvm1"], most=4)
    woken: list[tuple[Answered, float]] = []

    def wait() -> None:
        answered = agent.say("wait", places=["kvm1"], timeout_seconds=PATIENCE_SECONDS)
        woken.append((answered, time.monotonic()))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting = bed.app._waiters
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "kvm1" not in waiting()._by_place and time.monotonic() < deadline:
        time.sleep(0.01)
    begin(bed, "kvm1")
    thread.join(PATIENCE_SECONDS)
    [(answered, _)] = woken
    assert (answered.status, answered.body) == (200, {"woken": True})


def test_a_wait_without_news_ends_when_its_time_is_out(bed: Bed) -> None:
    agent = bed.join("kvm1", "kvm1")
    agent.roles("kvm1")
    assert agent.say("wait", places=["kvm1"], timeout_seconds=0.2).body == {"woken": False}


def test_long_polls_are_answered_at_once_when_the_server_stops(bed: Bed) -> None:
    agent = bed.join("kvm1", "kvm1")
    agent.roles("kvm1")
    answers: list[Answered] = []
    thread = threading.Thread(
        target=lambda: answers.append(agent.say("wait", places=["kvm1"], timeout_seconds=PATIENCE_SECONDS))
    )
    thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (bed.app._waiting is None or not bed.app._waiting._by_place) and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    bed.listener.stop()
    thread.join(PATIENCE_SECONDS)
    assert time.monotonic() - began < PATIENCE_SECONDS / 2
    [answered] = answers
    assert (answered.status, "go to another" in answered.body["error"]) == (503, True)


def test_a_beat_tells_where_the_other_servers_are(bed: Bed) -> None:
    agent = bed.join("kvm1", "kvm1")
    with bed.database.write() as store:
        store.control.start("one", uuid="u1", now=datetime.now(UTC), agent_urls=("https://one:1",))
        store.control.start("two", uuid="u2", now=datetime.now(UTC), agent_urls=("https://two:1",))
    deadline = time.monotonic() + PATIENCE_SECONDS
    told: list[str] = []
    while len(told) < 2 and time.monotonic() < deadline:
        told = agent.beat("kvm1").body["servers"]
    assert told == ["https://one:1", "https://two:1"]


def test_mistakes_are_answered_in_sentences(bed: Bed) -> None:
    agent = bed.join("kvm1", "kvm1")
    for answered, status, words in (
        (agent.post("beat", {"session": "x"}), 400, "not what it should be"),
        (agent.post("beat", ["no object"]), 400, "not what it should be"),
        (agent.say("wait", places=["kvm1"], timeout_seconds=-1), 400, "timeout_seconds"),
        (agent.get("nothing"), 404, "/nothing"),
        (agent.ask("GET", "/elsewhere"), 404, "/agent/v1/"),
        (agent.get("operations/1/image"), 400, "epoch"),
        (agent.ask("POST", "/agent/v1/beat", b"{", {}), 400, "not what it should be"),
    ):
        assert (answered.status, words in answered.body["error"]) == (status, True), answered.body


def test_what_a_newer_release_adds_is_passed_over(bed: Bed) -> None:
    agent = bed.join("kvm1", "kvm1")
    offered = [{"name": "kvm1", "driver": "simulated", "of_a_later_release": 1}]
    answered = agent.say("beat", beat={"places": offered, "more": []}, and_more={})
    assert (answered.status, answered.body["holds"][0]["role"]) == (200, "active")


def test_too_large_a_request_is_refused_before_it_is_read(bed: Bed) -> None:
    stranger = Caller(bed)
    answered = stranger.ask("POST", "/agent/v1/join", b" " * 200_000)
    assert (answered.status, "131072 bytes" in answered.body["error"]) == (413, True)


def test_inventories_wait_in_line_and_hold_up_nothing_else(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose turn does not come in time is refused before anything is done for it."""
    monkeypatch.setattr(app, "INVENTORY_PATIENCE_SECONDS", 0.2)
    begun, go_on = threading.Semaphore(0), threading.Event()
    usual, most = bed.gate.inventory, bed.settings.threads // 4

    def slowly(party: Party, found: Inventory) -> None:
        begun.release()
        assert go_on.wait(PATIENCE_SECONDS)
        usual(party, found)

    monkeypatch.setattr(bed.gate, "inventory", slowly)
    agents = [bed.join(f"kvm{n}", f"kvm{n}") for n in range(most + 1)]
    answers: list[Answered] = []

    def hand_in(agent: Caller) -> None:
        found = {"place": agent.name, "epoch": 1, "since": datetime.now(UTC), "hosts": [], "guests": []}
        answers.append(agent.say("inventory", inventory=found))

    for agent in agents:
        assert agent.roles(agent.name) == {agent.name: "active"}
    threads = [threading.Thread(target=hand_in, args=(agent,)) for agent in agents[:most]]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            assert begun.acquire(timeout=PATIENCE_SECONDS)
        hand_in(agents[most])
        assert [answered.status for answered in answers] == [503]
        assert "more to do" in answers[0].body["error"]
        assert agents[most].say("metadata_ports").status == 200
        assert agents[most].roles(agents[most].name) == {agents[most].name: "active"}
    finally:
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    assert [answered.status for answered in answers] == [503, *[200] * most]
