"""Bodies that are read as they come."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from polyvisor.api.kit.streams import Upload
from polyvisor.model.errors import Invalid, TooLarge


class _Client:
    """The sending end of an ASGI connection: messages one by one, and silence after the last one."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_all_that_is_sent_comes_in_order_and_in_few_pieces(loop: asyncio.AbstractEventLoop) -> None:
    sent = [bytes([n % 256]) * 1000 for n in range(1000)]
    client = _Client(*(part(body) for body in sent), part(b"", more=False))
    taken = list(Upload(client.receive, loop, None, {}, 60))
    assert b"".join(taken) == b"".join(sent)
    assert len(taken) < 100


def test_a_client_that_falls_silent_is_given_up(loop: asyncio.AbstractEventLoop) -> None:
    upload = Upload(_Client(part(b"x" * 600_000)).receive, loop, None, {}, 0.05)
    assert next(upload) == b"x" * 600_000
    with pytest.raises(Invalid, match=r"No bytes came for 0\.05 seconds"):
        next(upload)


def test_a_client_that_goes_away_is_no_end_of_the_body(loop: asyncio.AbstractEventLoop) -> None:
    upload = Upload(_Client(part(b"x"), {"type": "http.disconnect"}).receive, loop, None, {}, 60)
    with pytest.raises(Invalid, match="connection ended"):
        list(upload)


def test_a_body_over_the_limit_is_not_read_to_its_end(loop: asyncio.AbstractEventLoop) -> None:
    client = _Client(*(part(b"x" * 1_000_000) for _ in range(50)))
    with pytest.raises(TooLarge):
        list(Upload(client.receive, loop, 2_000_000, {}, 60))
    assert client.asked < 10
    unread = _Client(part(b"x"))
    with pytest.raises(TooLarge):
        next(Upload(unread.receive, loop, 10, {"content-length": "11"}, 60))
    assert unread.asked == 0
