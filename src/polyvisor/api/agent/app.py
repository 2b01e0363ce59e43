"""The ASGI application that agents speak to."""

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from polyvisor.api.agent import wire
from polyvisor.api.agent.gate import Gate
from polyvisor.api.agent.gathering import OVERLOADED, Gatherer
from polyvisor.api.agent.image_bytes import Beyond, open_piece, send_piece
from polyvisor.api.agent.joining import join, renew
from polyvisor.api.agent.peer import party, peer
from polyvisor.api.agent.settings import AgentSettings
from polyvisor.api.agent.waiting import Waiting
from polyvisor.api.metadata.service import MetadataService, Speaker
from polyvisor.image.files import FileBackend
from polyvisor.model.agent import Authority, Party
from polyvisor.model.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PolyvisorError,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from polyvisor.model.link import Exchange, Held, Timetable
from polyvisor.model.metadata import MetadataAnswer
from polyvisor.store.database import Database
from polyvisor.store.outage import said_elsewhere
from polyvisor.store.store import Store

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")
_ROOT = "/agent/v1/"
_NO_HEADERS: Mapping[str, str] = {}
_STATUS: tuple[tuple[type[PolyvisorError], int], ...] = (
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (TooLarge, 413),
    (Unavailable, 503),
    (Invalid, 400),
)
_MOST_OF_STRANGERS = 131_072
INVENTORY_PATIENCE_SECONDS = 45.0
"""How long an inventory waits for its turn: less than its agent does, who has a newer one then."""
_IMAGE = re.compile(r"operations/([0-9A-Za-z-]{1,64})/image\Z")
_encode = msgspec.json.Encoder().encode


class AgentApp:
    """`listener` serves it by mutual TLS; everything but the authority and joining demands an agent's certificate."""

    def __init__(
        self,
        database: Database,
        gate: Gate,
        authority: Authority,
        backend: FileBackend,
        settings: AgentSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._gate, self._authority = database, gate, authority
        self._backend, self._settings, self._clock = backend, settings, clock
        # The gate's transactions have a thread of their own: inventories and images must not delay beats.
        self._gate_pool = ThreadPoolExecutor(1, thread_name_prefix="gate")
        self._look_pool = ThreadPoolExecutor(1, thread_name_prefix="timetable")
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="agents")
        # Inventories may wait: what else comes by this pool (guests' questions, images) is not to wait for all of them.
        self._inventories = asyncio.Semaphore(max(1, settings.threads // 4))
        self._gatherer = Gatherer(gate.answer, self._gate_pool, gate.pace.waits_since)
        self._guests = MetadataService(database)
        self._waiting: Waiting | None = None
        self._stopping = False
        self._posts: dict[str, Callable[[Scope, bytes], Awaitable[msgspec.Struct]]] = {
            "exchange": self._exchange,
            "wait": self._wait,
            "beat": self._beat,
            "inventory": self._inventory,
            "glimpse": self._glimpse,
            "notes": self._notes,
            "metadata": self._metadata,
            "metadata_ports": self._metadata_ports,
            "join": self._join,
            "certificate": self._certificate,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"This application does not speak {scope['type']}.")
        try:
            await self._answer(scope, receive, send)
        except Beyond as error:
            await _reply(send, 416, _failure(str(error)), {"content-range": f"bytes */{error.size}"})
        except PolyvisorError as error:
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
            # What is not read of a refused request's body must not be taken for the next request.
            await _reply(send, status, _failure(error.sentence), {"connection": "close"} if status == 413 else {})
        except OSError:
            log.debug("an agent's connection ended before its answer")
        except SQLAlchemyError as error:
            if not said_elsewhere(error):
                log.warning("an agent could not be served: the database refused (%s)", error)
            await _reply(send, 503, _failure("The database does not answer this server now: try another, or again."))
        except Exception:
            log.exception("a request of an agent failed")
            await _reply(send, 500, _failure("An unexpected error occurred; the log of the server has the details."))

    async def close(self) -> None:
        """Answer long polls at once, and take no more."""
        self._stopping = True
        if self._waiting is not None:
            await self._waiting.close()

    def release(self) -> None:
        """Let the threads go, once the listener has ended."""
        for pool in (self._gate_pool, self._look_pool, self._pool):
            pool.shutdown()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if not path.startswith(_ROOT):
            raise NotFound("Agents find what is for them under /agent/v1/.")
        what, method = path.removeprefix(_ROOT), scope["method"]
        post = self._posts.get(what)
        if post is not None and method == "POST":
            if what != "join":
                peer(scope)  # who shows no certificate is not listened to
            body = await self._body(scope, receive)
            await _reply(send, 200, _encode(await post(scope, body)))
        elif what == "authority" and method == "GET":
            await _reply(send, 200, self._authority.certificate.encode(), {"content-type": "application/x-pem-file"})
        elif (image := _IMAGE.match(what)) is not None and method == "GET":
            piece = await self._run(self._image, scope, image[1])
            await send_piece(piece, send, self._pool)
        else:
            raise NotFound(f"There is no {method[:16]} {path[:128]} for agents.")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        limit = self._settings.max_body_bytes
        if not scope.get("extensions", {}).get("tls", {}).get("client_cert_chain"):
            limit = min(limit, _MOST_OF_STRANGERS)
        too_large = f"The request is larger than the {limit} bytes that are taken here."
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge(too_large)
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                async with asyncio.timeout(self._settings.silence_seconds):
                    message = await receive()
            except TimeoutError:
                raise Invalid(
                    f"No bytes came for {self._settings.silence_seconds:g} seconds, before the request was whole."
                ) from None
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise TooLarge(too_large)
            if not message.get("more_body"):
                return b"".join(parts)

    async def _run(self, act: Callable[..., T], *words: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, act, *words)

    def _party(self, scope: Scope, session: str, version: str = "") -> Party:
        if self._stopping:
            raise Unavailable("This server is stopping: go to another.")
        return party(scope, session, self._clock(), version)

    def _waiters(self) -> Waiting:
        if self._waiting is None:
            lagged = self._gate.pace.lagged
            self._waiting = Waiting(self._database.signals, self._read_timetable, self._look_pool, lagged)
        return self._waiting

    def _read_timetable(self) -> Timetable:
        with self._database.read() as store:
            return self._gate.timetable(store)

    def _servers(self) -> tuple[str, ...]:
        table = self._waiters().table
        return table.servers if table is not None else ()

    # What agents ask for

    async def _exchange(self, scope: Scope, body: bytes) -> wire.Leases:
        asked = wire.decode(body, wire.ExchangeAsked)
        who = self._party(scope, asked.session)
        self._waiters().exchanging(who.owner)
        answer = await self._gatherer.exchange((who, asked), reports=bool(asked.reports))
        return wire.Leases(leases=tuple(answer) if isinstance(answer, list) else ())

    async def _wait(self, scope: Scope, body: bytes) -> wire.Woken:
        asked = wire.decode(body, wire.WaitAsked)
        who = self._party(scope, asked.session)
        await self._gatherer.sign((who, Exchange()), at_once=True)
        seconds = min(asked.timeout_seconds, self._settings.longest_wait_seconds)
        return wire.Woken(woken=await self._waiters().wait(who.owner, asked.places, seconds))

    async def _beat(self, scope: Scope, body: bytes) -> Held:
        asked = wire.decode(body, wire.BeatAsked)
        who = self._party(scope, asked.session, asked.version)
        held = await self._gatherer.sign((who, asked.beat), at_once=asked.beat.leaving)
        return msgspec.structs.replace(held, servers=self._servers()) if isinstance(held, Held) else Held()

    async def _inventory(self, scope: Scope, body: bytes) -> wire.Done:
        def act() -> None:
            asked = wire.decode(body, wire.InventoryAsked)
            self._gate.inventory(self._party(scope, asked.session), asked.inventory)

        try:
            await asyncio.wait_for(self._inventories.acquire(), INVENTORY_PATIENCE_SECONDS)
        except TimeoutError:
            raise Unavailable(OVERLOADED) from None
        try:
            await self._run(act)
        finally:
            self._inventories.release()
        return wire.Done()

    async def _glimpse(self, scope: Scope, body: bytes) -> wire.Done:
        asked = wire.decode(body, wire.GlimpseAsked)
        await self._run(self._gate.glimpse, self._party(scope, asked.session), asked.glimpse)
        return wire.Done()

    async def _notes(self, scope: Scope, body: bytes) -> wire.Done:
        asked = wire.decode(body, wire.NotesAsked)
        await self._run(self._gate.note, self._party(scope, asked.session), asked.place, asked.epoch, asked.notes)
        return wire.Done()

    async def _metadata(self, scope: Scope, body: bytes) -> MetadataAnswer:
        told = wire.decode(body, wire.GuestAsked)
        who = self._party(scope, told.session)
        return await self._run(self._guests.answer, Speaker(agent_id=who.agent_id), told.asked, self._admit(who))

    async def _metadata_ports(self, scope: Scope, body: bytes) -> wire.MetadataPorts:
        who = self._party(scope, wire.decode(body, wire.MetadataPortsAsked).session)
        found = await self._run(self._guests.ports, Speaker(agent_id=who.agent_id), self._admit(who))
        return wire.MetadataPorts(ports=found)

    def _admit(self, who: Party) -> Callable[[Store], None]:
        return lambda store: self._gate.admit(store, who)

    async def _join(self, scope: Scope, body: bytes) -> wire.Joined:
        asked = wire.decode(body, wire.JoinAsked)
        client = scope.get("client")
        days = self._settings.certificate_days

        def act() -> wire.Joined:
            return join(
                self._database,
                self._authority,
                asked,
                agent_id=uuid.uuid4().hex,
                address=str(client[0])[:255] if client else "",
                servers=self._read_timetable().servers,
                certificate_days=days,
                now=self._clock(),
            )

        return await self._run(act)

    async def _certificate(self, scope: Scope, body: bytes) -> wire.Renewed:
        asked = wire.decode(body, wire.CertificateAsked)
        who, shown = self._party(scope, asked.session), peer(scope)
        days, now = self._settings.certificate_days, self._clock()

        def act() -> wire.Renewed:
            with self._database.write() as store:
                self._gate.admit(store, who)
                return renew(store, self._authority, shown, asked, certificate_days=days, now=now)

        return await self._run(act)

    def _image(self, scope: Scope, operation_id: str) -> Any:
        epoch = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("epoch", [""])[0]
        if not epoch.isdecimal() or len(epoch) > 18:
            raise Invalid("Say under which epoch the step was leased: ?epoch=NUMBER.")
        session = next((value for name, value in scope["headers"] if name == b"x-polyvisor-session"), b"")
        who = self._party(scope, session.decode("latin-1")[:36])
        with self._database.read() as store:
            image = self._gate.image_of_step(store, who, operation_id, int(epoch))
        header = next((value for name, value in scope["headers"] if name == b"range"), b"").decode("latin-1")
        return open_piece(self._backend, image.id, header)


def _failure(sentence: str) -> bytes:
    return _encode({"error": sentence})


async def _reply(send: Send, status: int, body: bytes, headers: Mapping[str, str] = _NO_HEADERS) -> None:
    told = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    encoded = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
