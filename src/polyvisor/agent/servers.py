"""The servers of the cloud as one: asked in turn until one answers, over connections that are kept open.

urllib3 holds the connections: it is thread-safe, takes a TLS context with our certificate, and bounds connecting apart
from waiting. What is asked may be asked twice; the link sees to that.
"""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3

import polyvisor
from polyvisor.model.errors import Invalid
from polyvisor.operate.link import LinkDown, LinkRefused

log = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
MOST_CONNECTIONS = 32
RESTED_SECONDS = 10.0
"""For so long a server that failed is asked after the others."""
MOST_SENTENCE_BYTES = 65_536
PREFIX = "/agent/v1"
_USER_AGENT = f"polyvisor-agent/{polyvisor.__version__}"


class Superseded(LinkDown):
    """What was asked or told belongs to a hold, a lease or a process that has ended."""


class Missing(LinkDown):
    """There is no such thing for this agent."""


class Servers:
    """Where the cloud can be reached. One that has answered is asked first the next time."""

    def __init__(
        self, urls: Sequence[str], context: Callable[[], ssl.SSLContext], chance: random.Random | None = None
    ) -> None:
        """`context` makes the TLS context; it is called again when the certificate was renewed."""
        self._make_context = context
        self._context = context()
        self._chance = chance or random.Random()  # noqa: S311 - spreads load
        self._lock = threading.Lock()
        self._pools: dict[str, urllib3.HTTPSConnectionPool] = {}
        self._failed: dict[str, float] = {}
        self._urls = tuple(urls)
        self._chance_order = list(self._urls)
        self._chance.shuffle(self._chance_order)
        self._preferred = self._chance_order[0] if self._chance_order else ""

    @property
    def urls(self) -> tuple[str, ...]:
        """All that are known."""
        return self._urls

    @property
    def preferred(self) -> str:
        """The one that is asked first."""
        return self._preferred

    def learn(self, urls: Sequence[str]) -> bool:
        """These are the servers now; whether that is news. The one in use stays in use."""
        if not urls or set(urls) == set(self._urls):
            return False
        with self._lock:
            self._urls = tuple(urls)
        return True

    def trust_anew(self) -> None:
        """Show the new certificate from now on. Requests that are under way end on their connections."""
        with self._lock:
            self._context = self._make_context()
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def close(self) -> None:
        """Close what is not in use."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def ask(
        self, path: str, body: Callable[[int], Any], *, read_seconds: float, connect_seconds: float = CONNECT_SECONDS
    ) -> bytes:
        """The answer to a POST of `body(number of the try)` as JSON. Raises LinkDown, LinkRefused, Superseded, Missing.

        Each server is tried once, and once more where a kept connection had broken.
        """
        said = "no server is known"
        for number, url in enumerate(self._in_order()):
            try:
                response = self._send(url, path, msgspec.json.encode(body(number)), read_seconds, connect_seconds)
            except urllib3.exceptions.HTTPError as error:
                said = self._note_failure(url, _why(error))
                continue
            if response.status >= 500 or response.status == 429:
                said = self._note_failure(url, _sentence(response.status, response.data))
                continue
            self._note_success(url)
            return _checked(response)
        raise LinkDown(f"No server of the cloud answers: {said}")

    def open(self, path: str, headers: dict[str, str], *, read_seconds: float) -> urllib3.BaseHTTPResponse:
        """A GET whose body is still to be read. Raises LinkDown, LinkRefused, Superseded, Missing."""
        said = "no server is known"
        for url in self._in_order():
            try:
                response = self._pool(url).urlopen(
                    "GET", PREFIX + path, headers={**headers, "User-Agent": _USER_AGENT}, retries=False,
                    redirect=False, preload_content=False, decode_content=False,
                    timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                )  # fmt: skip
            except urllib3.exceptions.HTTPError as error:
                said = self._note_failure(url, _why(error))
                continue
            if response.status < 400:
                self._note_success(url)
                return response
            body = response.read(MOST_SENTENCE_BYTES)
            response.close()
            if response.status < 500:
                raise _refusal(response.status, body)
            said = self._note_failure(url, _sentence(response.status, body))
        raise LinkDown(f"No server of the cloud answers: {said}")

    def _send(
        self, url: str, path: str, body: bytes, read_seconds: float, connect_seconds: float
    ) -> urllib3.BaseHTTPResponse:
        for again in (False, True):
            try:
                return self._pool(url).urlopen(
                    "POST", PREFIX + path, body=body, retries=False, redirect=False,
                    headers={"Content-Type": "application/json", "User-Agent": _USER_AGENT},
                    timeout=urllib3.Timeout(connect=connect_seconds, read=read_seconds),
                )  # fmt: skip
            except urllib3.exceptions.ProtocolError:  # a kept connection that the server has closed
                if again:
                    raise
        raise AssertionError("the second try returns or raises")

    def _in_order(self) -> Iterator[str]:
        now = time.monotonic()
        others = [url for url in self._urls if url != self._preferred]
        self._chance.shuffle(others)
        preferred = [self._preferred] if self._preferred in self._urls else []
        rested = [url for url in (*preferred, *others) if now - self._failed.get(url, -RESTED_SECONDS) > RESTED_SECONDS]
        yield from rested
        yield from (url for url in (*preferred, *others) if url not in rested)

    def _pool(self, url: str) -> urllib3.HTTPSConnectionPool:
        with self._lock:
            pool = self._pools.get(url)
            if pool is None:
                host, port = address(url)
                pool = self._pools[url] = urllib3.HTTPSConnectionPool(
                    host, port, maxsize=MOST_CONNECTIONS, ssl_context=self._context
                )
            return pool

    def _note_failure(self, url: str, why: str) -> str:
        if url not in self._failed:
            log.info("%s does not serve now: %s", url, why)
        self._failed[url] = time.monotonic()
        return f"{url}: {why}"

    def _note_success(self, url: str) -> None:
        self._failed.pop(url, None)
        self._preferred = url


def address(url: str) -> tuple[str, int]:
    """Host and port of a server's https:// address. Raises Invalid."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise Invalid(f"{url!r} is no address of a server: write https://HOST:PORT, as `polyvisor token create` does.")
    return parts.hostname, parts.port or 443


def _checked(response: urllib3.BaseHTTPResponse) -> bytes:
    if response.status < 300:
        return response.data
    raise _refusal(response.status, response.data)


def _refusal(status: int, body: bytes) -> LinkDown:
    sentence = _sentence(status, body)
    if status in (401, 403):
        return LinkRefused(sentence)
    if status == 404:
        return Missing(sentence)
    if status in (409, 410):
        return Superseded(sentence)
    return LinkDown(sentence)


def _sentence(status: int, body: bytes) -> str:
    """What the server says of it: {"error": sentence}."""
    try:
        return str(msgspec.json.decode(body)["error"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return f"It answers {status}."


def _why(error: Exception) -> str:
    """A transport's failure without urllib3's wrapping."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "it does not take connections"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "it cannot be reached"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "it did not answer in time"
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"its certificate, or ours, was not accepted ({error})"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection broke"
    return str(error) or type(error).__name__
