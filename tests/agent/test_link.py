"""The link over HTTPS: servers fail, answers get lost, and nothing is lost with them."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from polyvisor.agent.files import AgentFiles
from polyvisor.agent.link import HttpLink
from polyvisor.agent.servers import Servers, Superseded
from polyvisor.model.link import Beat, Held, Hold, Inventory, PlaceState, Report, Role
from polyvisor.operate.link import LinkDown, LinkRefused
from tests.agent.server import Answer, FakeServer

PATIENCE_SECONDS = 180
HELD = Held(holds=(Hold(place="kvm1", role=Role.ACTIVE, epoch=4, lease_seconds=10.0),))
REPORT = Report(operation_id="o1", epoch=3, outcome="done")


def link_to(files: AgentFiles, *servers: FakeServer, steady: Callable[[], float] = time.monotonic) -> HttpLink:
    """A link that asks the servers in this order at first."""
    made = Servers([server.url for server in servers], files.context, random.Random(1))
    made._preferred = servers[0].url
    return HttpLink(made, "session-1", steady, lambda urls: files.keep_servers(urls))


def answering(value: Any) -> Callable[[dict[str, Any]], Answer]:
    """Always the same."""
    return lambda _body: (200, msgspec.to_builtins(value))


def test_a_beat_says_who_beats_and_brings_what_is_held(files: AgentFiles, server: FakeServer) -> None:
    server.handlers["/beat"] = answering(HELD)
    held = link_to(files, server).beat(Beat(places=(PlaceState(name="kvm1", driver="kvm"),), running=("o1",)))
    assert held.holds == HELD.holds
    [body] = server.asked("/beat")
    assert body["session"] == "session-1"
    assert body["beat"]["running"] == ["o1"]
    assert body["beat"]["places"][0]["name"] == "kvm1"


def test_another_server_is_asked_when_one_is_gone_or_refuses(files: AgentFiles, start_server: Any) -> None:
    gone, busy, well = start_server(), start_server(), start_server()
    gone.stop()
    busy.trouble["/beat"] = ["refuse"]
    for each in (busy, well):
        each.handlers["/beat"] = answering(HELD)
    link = link_to(files, gone, busy, well)
    for _ in range(3):
        assert link.beat(Beat(places=())).holds == HELD.holds
    assert len(well.asked("/beat")) + len(busy.asked("/beat")) >= 3


def test_all_servers_gone_is_said_and_the_first_to_return_is_used(files: AgentFiles, start_server: Any) -> None:
    one, two = start_server(), start_server()
    one.stop()
    two.stop()
    link = link_to(files, one, two)
    with pytest.raises(LinkDown, match="No server of the cloud answers"):
        link.beat(Beat(places=()))
    with one:
        one.handlers["/beat"] = answering(HELD)
        assert link.beat(Beat(places=())).holds == HELD.holds


def test_a_server_that_was_restarted_is_used_on_a_new_connection(files: AgentFiles, server: FakeServer) -> None:
    server.handlers["/beat"] = answering(HELD)
    link = link_to(files, server)
    link.beat(Beat(places=()))
    server.stop()
    with server:
        assert link.beat(Beat(places=())).holds == HELD.holds


def test_leases_whose_answer_was_lost_are_asked_for_again(files: AgentFiles, server: FakeServer) -> None:
    now = [100.0]
    server.handlers["/exchange"] = answering({"leases": []})
    link = link_to(files, server, steady=lambda: now[0])
    assert link.exchange(("kvm1",), [], 4, ("o1",)) == []
    server.trouble["/exchange"] = ["drop", "drop"]
    with pytest.raises(LinkDown):
        link.exchange(("kvm1",), [REPORT], 4, ("o2",))
    link.exchange(("kvm1",), [REPORT], 4, ("o2",))
    now[0] += 3600
    link.exchange(("kvm1",), [], 4, ())
    first, *lost, again, later = server.asked("/exchange")
    assert (first["recover"], first["running"]) == (False, ["o1"])
    assert len(lost) == 2
    assert all(body["reports"][0]["operation_id"] == "o1" for body in (*lost, again))
    assert (again["recover"], again["running"]) == (True, ["o2"])
    assert later["recover"] is False


def test_a_poke_ends_the_wait_and_the_question_goes_on(files: AgentFiles, server: FakeServer) -> None:
    go_on = threading.Event()

    def wait(_body: dict[str, Any]) -> Answer:
        assert go_on.wait(PATIENCE_SECONDS)
        return (200, {"woken": True})

    server.handlers["/wait"] = wait
    link = link_to(files, server)
    threading.Timer(0.1, link.poke).start()
    link.wait(("kvm1",), 30.0)
    go_on.set()
    link.wait(("kvm1",), 30.0)  # the same question's answer
    assert len(server.asked("/wait")) == 1


def test_a_wait_that_breaks_off_says_so(files: AgentFiles, server: FakeServer) -> None:
    server.handlers["/wait"] = answering({})
    server.trouble["/wait"] = ["drop", "drop"]
    link = link_to(files, server)
    with pytest.raises(LinkDown):
        link.wait(("kvm1",), 30.0)
    link.wait(("kvm1",), 30.0)


@pytest.mark.parametrize(
    ("status", "error"), [(401, LinkRefused), (403, LinkRefused), (409, Superseded), (400, LinkDown), (404, LinkDown)]
)
def test_a_refusal_is_told_in_the_servers_words(
    files: AgentFiles, server: FakeServer, status: int, error: type[Exception]
) -> None:
    server.handlers["/inventory"] = lambda _body: (status, {"error": "Said by the server."})
    with pytest.raises(error, match=r"Said by the server\."):
        link_to(files, server).inventory(Inventory(place="kvm1", epoch=4, since=datetime.now(UTC)))
    assert len(server.asked("/inventory")) == 1


def test_the_servers_that_a_beat_names_are_used_and_kept(files: AgentFiles, start_server: Any) -> None:
    one, two = start_server(), start_server()
    for each in (one, two):
        each.handlers["/beat"] = answering(msgspec.structs.replace(HELD, servers=(one.url, two.url)))
    link = link_to(files, one)
    link.beat(Beat(places=()))
    one.stop()
    assert link.beat(Beat(places=())).holds == HELD.holds
    assert files.servers() == (one.url, two.url, files.identity().url)


def test_a_server_of_another_cloud_is_told_nothing(files: AgentFiles, tmp_path: Any) -> None:
    from tests.agent.authority import TestAuthority

    with FakeServer(tmp_path, TestAuthority("another")) as other:
        other.handlers["/beat"] = answering(HELD)
        with pytest.raises(LinkDown, match="certificate"):
            link_to(files, other).beat(Beat(places=()))
        assert other.seen == []


def test_an_agents_certificate_is_not_taken_for_a_servers(
    files: AgentFiles, tmp_path: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen = files.path("agent.pem").read_bytes()
    monkeypatch.setattr(authority, "server", lambda: stolen)
    with FakeServer(tmp_path, authority) as thief:
        thief.handlers["/beat"] = answering(HELD)
        with pytest.raises(LinkDown, match="certificate"):
            link_to(files, thief).beat(Beat(places=()))
        assert thief.seen == []
