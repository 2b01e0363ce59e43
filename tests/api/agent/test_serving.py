"""What an agent is served once it has joined: places, steps, wake-ups, and sentences where something is wrong."""

import threading
import time
from datetime import UTC, datetime

import msgspec

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
