"""The HTTP edge: ASGI in, one thread per request, ASGI out. The only asynchronous code of the API."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from polyvisor.api.kit.call import NO_VERSION, Call, Request
from polyvisor.api.kit.engine import Answer, Engine
from polyvisor.api.kit.log import Access, Observer, log
from polyvisor.api.kit.reply import Reply, StreamReply
from polyvisor.api.kit.resource import Route
from polyvisor.api.kit.router import Found
from polyvisor.api.kit.service import Service
from polyvisor.api.kit.streams import Upload, close, next_chunk
from polyvisor.api.kit.versions import all_services
from polyvisor.model.errors import NotFound, TooLarge

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_encode = msgspec.json.Encoder().encode
_UNREAD = (401, 403, 413)
_EVERYWHERE = "The resource could not be found."


class Edge:
    """The ASGI application."""

    def __init__(self, engine: Engine, observers: Sequence[Observer]) -> None:
        self.engine = engine
        self.observers = list(observers)
        """Called after each request, on the event loop: they must not block."""
        self._by_root = {service.root.strip("/"): service for service in engine.services}
        self._pool = ThreadPoolExecutor(engine.context.settings.threads, thread_name_prefix="api")
        self._stream_pool = ThreadPoolExecutor(engine.context.settings.stream_threads, thread_name_prefix="stream")
        self._slow_pool = ThreadPoolExecutor(engine.context.settings.login_threads, thread_name_prefix="login")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's worth of ASGI: a request, or the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            raise NotImplementedError(f"This application does not speak {scope['type']}.")

    def close(self) -> None:
        """Let the threads go, once they have ended what they do."""
        self._pool.shutdown()
        self._stream_pool.shutdown()
        self._slow_pool.shutdown()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request = self._read_head(scope)
        service, found = self._find(request.path)
        call: Call | None = None
        if service is None:
            answer: Answer = self._elsewhere(request)
        elif found is None:
            answer = self._document(service, request)
        else:
            answer, call = await self._work(service, found, request, receive)
        try:
            await self._send(answer, request, service, receive, send)
        except OSError:
            # The client has gone. What was done stays done, and is logged as it is.
            log.info("client_gone", request_id=request.id)
        finally:
            access = _access(request, service, call, answer.status, time.perf_counter() - started)
            for observe in self.observers:
                observe(access)

    def _read_head(self, scope: Scope) -> Request:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        raw = scope.get("raw_path")
        path = raw.decode("latin-1").partition("?")[0] if raw else scope["path"]
        query = scope.get("query_string", b"").decode("latin-1")
        request = Request(scope["method"], path, headers, query, self._base_url(scope, headers))
        tracing = self.engine.context.tracing
        if tracing is not None:
            request.traced = tracing.begin(headers)
        return request

    def _base_url(self, scope: Scope, headers: dict[str, str]) -> str:
        settings = self.engine.context.settings
        if settings.public_url:
            return settings.public_url.rstrip("/")
        scheme, host = scope.get("scheme", "http"), headers.get("host", "localhost")
        if settings.behind_proxy:
            scheme = headers.get("x-forwarded-proto", scheme)
            host = headers.get("x-forwarded-host", host)
        return f"{scheme}://{host}"

    def _find(self, path: str) -> tuple[Service | None, Found | None]:
        root, _, below = path.strip("/").partition("/")
        service = self._by_root.get(root)
        if service is None:
            return None, None
        version, _, rest = below.partition("/")
        if version != service.version_path.strip("/") or not rest:
            return service, None
        return service, service.router.find(rest)

    def _elsewhere(self, request: Request) -> Reply:
        if request.path.strip("/"):
            return Reply(404, {"error": {"code": 404, "message": _EVERYWHERE, "title": "Not Found"}})
        return Reply(*all_services(self.engine.services, request.base_url))

    def _document(self, service: Service, request: Request) -> Answer:
        path = "/" + request.path.strip("/")
        if request.method in ("GET", "HEAD"):
            if path == service.root:
                return Reply(*service.root_document(service, request.base_url))
            if path == service.prefix:
                return Reply(*service.version_document(service, request.base_url))
        return self.engine.refuse(service, NotFound(_EVERYWHERE), request)

    async def _work(
        self, service: Service, found: Found, request: Request, receive: Receive
    ) -> tuple[Answer, Call | None]:
        routes = [route for route, _ in found.methods.get(request.method, ())]
        loop = asyncio.get_running_loop()
        limit = _limit(routes, self.engine.context.settings.max_body_bytes)
        pool = self._pool
        if any(route.slow for route in routes):
            pool = self._slow_pool
        if any(route.streams for route in routes):
            pool = self._stream_pool
            request.stream = Upload(receive, loop, limit, request.headers, self.engine.context.settings.silence_seconds)
        elif any(route.takes_body for route in routes):
            try:
                request.body = await _read_body(receive, request.headers, limit or 0)
            except TooLarge as error:
                return self.engine.refuse(service, error, request, {"Connection": "close"}), None
        answer, call = await loop.run_in_executor(pool, self.engine.serve, service, found, request)
        if request.stream is not None and isinstance(answer, Reply) and answer.status in _UNREAD:
            # The rest of the body would come for nothing. Elsewhere it is taken, so that the client reads the sentence.
            answer = Reply(answer.status, answer.body, {**answer.headers, "Connection": "close"})
        return answer, call

    async def _send(
        self, answer: Answer, request: Request, service: Service | None, receive: Receive, send: Send
    ) -> None:
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        request_id = request.id.encode()
        headers.append((b"x-openstack-request-id", request_id))
        if service is not None and service.request_id_header:
            headers.append((service.request_id_header.encode(), request_id))
        head = {"type": "http.response.start", "status": answer.status, "headers": headers}
        if isinstance(answer, StreamReply):
            headers.append((b"content-type", answer.media_type.encode()))
            if answer.length_bytes is not None:
                headers.append((b"content-length", str(answer.length_bytes).encode()))
            await send(head)
            await self._send_chunks(answer, request, receive, send)
            return
        body = answer.body if isinstance(answer.body, bytes) else b"" if answer.body is None else _encode(answer.body)
        if answer.body is not None:
            headers.append((b"content-type", answer.media_type.encode()))
        if answer.status != 204:
            headers.append((b"content-length", str(len(body)).encode()))
        await send(head)
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})

    async def _send_chunks(self, answer: StreamReply, request: Request, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        chunks = iter(answer.chunks)
        gone = loop.create_task(_disconnected(receive))
        try:
            while request.method != "HEAD" and not gone.done():
                chunk = await loop.run_in_executor(self._stream_pool, next_chunk, chunks)
                if chunk is None:
                    break
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            gone.cancel()
            await loop.run_in_executor(self._stream_pool, close, answer.chunks, chunks)
        await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    """Return once the client has gone: what is sent after that would be made for nobody."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _limit(routes: list[Route], default: int) -> int | None:
    given = [route.max_body_bytes for route in routes if route.max_body_bytes is not None]
    if given:
        return max(given)
    return None if any(route.streams for route in routes) else default


async def _read_body(receive: Receive, headers: dict[str, str], limit: int) -> bytes:
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"The body is larger than the {limit} bytes that are allowed.")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge(f"The body is larger than the {limit} bytes that are allowed.")
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _access(
    request: Request, service: Service | None, call: Call | None, status: int, duration_seconds: float
) -> Access:
    caller = call.known_caller if call is not None else None
    return Access(
        request_id=request.id,
        global_request_id=request.global_id,
        method=request.method,
        path=request.path,
        status=status,
        duration_seconds=duration_seconds,
        statements=call.statements if call is not None else 0,
        route=call.route if call is not None else "",
        service=service.type if service is not None else "",
        user_id=caller.user_id if caller else None,
        project_id=caller.project_id if caller else None,
        version=call.version if call is not None else NO_VERSION,
        names=call.names if call is not None else {},
        traced=request.traced,
    )
