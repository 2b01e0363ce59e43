"""What a guest's connection meets: HTTP as it should be, and bounds where it is not."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from polyvisor.model.metadata import MetadataAnswer, MetadataAsked
from polyvisor.network.metadata import connection, listener
from polyvisor.network.metadata.limit import Limit
from polyvisor.network.metadata.listener import Listener

PATIENCE_SECONDS = 180.0


class Bed:
    """A listener on a port of 127.0.0.1 whose answers say what was asked."""

    def __init__(self, limit: Limit | None = None) -> None:
        self.asked: list[MetadataAsked] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.answer = MetadataAnswer(status=200, body=b"told")
        self.listener = Listener(self._answer, limit=limit)
        self.listener.start()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        self.listener.add("net", [self.sock])

    def _answer(self, asked: MetadataAsked) -> MetadataAnswer:
        self.asked.append(asked)
        self.may_answer.wait(PATIENCE_SECONDS)
        if asked.path == "/broken":
            raise RuntimeError("broken")
        return self.answer

    def connect(self) -> socket.socket:
        """A guest."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)

    @contextmanager
    def sent_ahead(self, text: bytes) -> Iterator[socket.socket]:
        """A guest that has sent this before anybody listens: so short a silence is over soon on a slow machine."""
        with socket.create_server(("127.0.0.1", 0)) as late:
            late.setblocking(False)
            with socket.create_connection(late.getsockname(), PATIENCE_SECONDS) as guest:
                guest.sendall(text)
                self.listener.add("late", [late])
                yield guest
                self.listener.remove("late")

    def say(self, text: bytes) -> bytes:
        """Send it, and read all until the connection ends."""
        with self.connect() as guest:
            guest.sendall(text)
            return read_all(guest)

    def http(self) -> http.client.HTTPConnection:
        """A guest with a client."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)


def read_all(guest: socket.socket) -> bytes:
    """Until the other end has closed."""
    parts = []
    try:
        while part := guest.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"")
    return b"".join(parts)


@contextmanager
def running(limit: Limit | None = None) -> Iterator[Bed]:
    bed = Bed(limit)
    try:
        yield bed
    finally:
        bed.may_answer.set()
        bed.listener.stop()
        bed.sock.close()


@pytest.fixture
def bed() -> Iterator[Bed]:
    with running() as made:
        yield made


def eventually(true: object) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_question_goes_out_with_where_it_came_from(bed: Bed) -> None:
    guest = bed.http()
    guest.request("GET", "/openstack/latest/user_data?x=1", headers={"X-Forwarded-For": "10.0.0.9"})
    response = guest.getresponse()
    assert (response.status, response.read()) == (200, b"told")
    assert response.getheader("Cache-Control") == "no-store"
    [asked] = bed.asked
    assert asked == MetadataAsked(
        network_id="net", address="127.0.0.1", method="GET", path="/openstack/latest/user_data"
    )


def test_a_connection_serves_many_questions(bed: Bed) -> None:
    guest = bed.http()
    for number in range(5):
        guest.request("POST", f"/{number}", body=b"b" * number)
        response = guest.getresponse()
        assert (response.status, response.read(), response.getheader("Connection")) == (200, b"told", "keep-alive")
    assert [(asked.path, asked.body) for asked in bed.asked] == [(f"/{n}", b"b" * n) for n in range(5)]
    assert len(bed.listener._connections) == 1


def test_questions_sent_ahead_are_answered_in_turn(bed: Bed) -> None:
    text = b"".join(f"GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for number in range(3))
    answered = bed.say(text + b"GET /last HTTP/1.0\r\n\r\n")
    assert answered.count(b"HTTP/1.1 200 OK") == 4
    assert [asked.path for asked in bed.asked] == ["/0", "/1", "/2", "/last"]


def test_an_offer_to_speak_something_else_is_passed_over(bed: Bed) -> None:
    answered = bed.say(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nGET /rest HTTP/1.1\r\n\r\n")
    assert (answered.startswith(b"HTTP/1.1 200 OK"), answered.endswith(b"told")) == (True, True)
    assert [asked.path for asked in bed.asked] == ["/"]


def test_head_has_no_body(bed: Bed) -> None:
    answered = bed.say(b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert answered.endswith(b"\r\n\r\n")
    assert b"Content-Length: 4\r\n" in answered


def test_what_is_answered_with_a_pause_says_so(bed: Bed) -> None:
    bed.answer = MetadataAnswer(status=503, body=b"later", retry_after_seconds=2)
    assert b"Retry-After: 2\r\n" in bed.say(b"GET / HTTP/1.0\r\n\r\n")


def test_a_failure_is_told_without_its_details(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    answered = bed.say(b"GET /broken HTTP/1.0\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 500 ")
    assert b"RuntimeError" not in answered
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"a" * 1024 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 4000 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + b"a" * 5000, 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + b"a" * 5000 + b"\r\n0\r\n\r\n", 413),
    ],
)
def test_what_is_out_of_bounds_is_refused_and_ended(bed: Bed, text: bytes, status: int) -> None:
    answered = bed.say(text)
    assert answered.startswith(f"HTTP/1.1 {status} ".encode()), answered
    assert bed.asked == []


def test_whoever_asks_too_often_is_told_to_wait() -> None:
    with running(Limit(burst=2, per_second=1 / 600)) as bed:
        guest = bed.http()
        answers = []
        for _ in range(4):
            guest.request("GET", "/")
            response = guest.getresponse()
            answers.append((response.status, response.getheader("Retry-After"), response.read()))
        assert [status for status, _, _ in answers] == [200, 200, 429, 429]
        assert 300 < int(str(answers[2][1])) <= 600
        assert b"ask again in" in answers[2][2]
        assert len(bed.asked) == 2


def test_one_address_has_so_many_connections_and_no_more(bed: Bed) -> None:
    guests = [bed.connect() for _ in range(listener.MOST_OF_ONE + 4)]
    eventually(lambda: len(bed.listener._connections) == listener.MOST_OF_ONE)
    ended = 0
    for guest in guests:
        guest.sendall(b"GET / HTTP/1.0\r\n\r\n")
    for guest in guests:
        ended += not read_all(guest)
        guest.close()
    assert ended == 4
    eventually(lambda: not bed.listener._count)


def test_a_guest_that_does_not_go_on_is_not_waited_for(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 0.2)
    assert bed.say(b"GET / HTTP/1.1\r\nHost:") == b""
    assert bed.say(b"") == b""
    with bed.sent_ahead(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") as guest:
        assert read_all(guest).endswith(b"told")


def test_a_slow_answer_is_waited_for(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 0.2)
    bed.may_answer.clear()
    with bed.sent_ahead(b"GET / HTTP/1.0\r\n\r\n") as guest:
        eventually(lambda: bed.asked)
        time.sleep(0.5)
        bed.may_answer.set()
        assert read_all(guest).endswith(b"told")


def test_many_that_wait_do_not_hold_up_the_count(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_MOST_WAITING", 2)
    bed.may_answer.clear()
    guests = [bed.connect() for _ in range(2)]
    for guest in guests:
        guest.sendall(b"GET / HTTP/1.0\r\n\r\n")
    eventually(lambda: bed.listener._fetching.total() == 2)
    assert bed.say(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    bed.may_answer.set()
    assert all(read_all(guest).endswith(b"told") for guest in guests)
    assert bed.say(b"GET / HTTP/1.0\r\n\r\n").endswith(b"told")


def test_one_guest_has_so_many_questions_under_way_and_no_more(bed: Bed) -> None:
    bed.may_answer.clear()
    guests = [bed.connect() for _ in range(listener.MOST_AT_ONCE)]
    for guest in guests:
        guest.sendall(b"GET / HTTP/1.0\r\n\r\n")
    eventually(lambda: bed.listener._fetching.total() == listener.MOST_AT_ONCE)
    assert bed.say(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    bed.may_answer.set()
    assert all(read_all(guest).endswith(b"told") for guest in guests)
    eventually(lambda: not bed.listener._fetching)


def test_a_network_that_goes_ends_its_connections_and_no_others(bed: Bed) -> None:
    other = socket.create_server(("127.0.0.1", 0))
    other.setblocking(False)
    bed.listener.add("other", [other])
    here = bed.connect()
    there = http.client.HTTPConnection("127.0.0.1", other.getsockname()[1], timeout=PATIENCE_SECONDS)
    there.request("GET", "/")
    assert there.getresponse().read() == b"told"
    eventually(lambda: len(bed.listener._connections) == 2)
    bed.listener.remove("net")
    assert read_all(here) == b""
    there.request("GET", "/")
    assert there.getresponse().read() == b"told"
    other.close()
