"""An HTTP client that calls an ASGI application in its own process: no socket, real threads, real transactions."""

import asyncio
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from polyvisor.api.kit.edge import Edge
from polyvisor.api.kit.log import Access

_TIMEOUT_SECONDS = 180


class Answer:
    """A response, and what the access log says of its request."""

    def __init__(self, status: int, headers: dict[str, str], content: bytes, access: Access | None) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self.access = access

    @property
    def body(self) -> Any:
        """The JSON body."""
        return msgspec.json.decode(self.content)

    @property
    def statements(self) -> int:
        """SQL statements that the request took."""
        assert self.access is not None
        return self.access.statements

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.content[:500]!r})"


class Loop:
    """An event loop on a thread of its own, for as many clients as there are."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asgi-loop", daemon=True)
        self._thread.start()

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_SECONDS)

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_SECONDS)
        self._loop.close()


class ApiClient:
    """Requests with one token; `client.get("/compute/v2.1/servers", limit=2)`."""

    def __init__(
        self, app: Edge, loop: Loop, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.app = app
        self.token = token
        self._loop = loop
        self._headers = dict(headers or {})

    def with_headers(self, **headers: str) -> "ApiClient":
        """The same caller with more headers: `with_headers(openstack_api_version="compute 2.90")`."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return ApiClient(self.app, self._loop, self.token, {**self._headers, **more})

    def get(self, path: str, **query: Any) -> Answer:
        """GET."""
        return self.request("GET", path, query=query)

    def post(self, path: str, json: Any = None, **query: Any) -> Answer:
        """POST a JSON body."""
        return self.request("POST", path, json=json, query=query)

    def put(self, path: str, json: Any = None, **query: Any) -> Answer:
        """PUT a JSON body."""
        return self.request("PUT", path, json=json, query=query)

    def patch(self, path: str, json: Any = None, **query: Any) -> Answer:
        """PATCH with a JSON body."""
        return self.request("PATCH", path, json=json, query=query)

    def delete(self, path: str, **query: Any) -> Answer:
        """DELETE."""
        return self.request("DELETE", path, query=query)

    def head(self, path: str, **query: Any) -> Answer:
        """HEAD."""
        return self.request("HEAD", path, query=query)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | Iterable[bytes] | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Any request; `data` as an iterable is sent chunk by chunk, without a Content-Length."""
        sent = {
            "host": "cloud.test",
            **self._headers,
            **{name.lower(): value for name, value in (headers or {}).items()},
        }
        if self.token is not None:
            sent.setdefault("x-auth-token", self.token)
        chunks: Iterable[bytes] = ()
        if json is not None:
            data = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        if isinstance(data, bytes):
            sent.setdefault("content-length", str(len(data)))
            chunks = (data,)
        elif data is not None:
            chunks = data
        path, _, inline = path.partition("?")
        encoded = "&".join(part for part in (inline, urlencode(dict(query or {}), doseq=True)) if part)
        answer: Answer = self._loop.run(self._exchange(method, path, encoded, sent, iter(chunks)))
        return answer

    async def _exchange(self, method: str, path: str, query: str, headers: dict[str, str], chunks: Any) -> Answer:
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
        ended = asyncio.Event()
        status, shown, parts = 0, {}, []

        sent_all = False

        async def receive() -> dict[str, Any]:
            nonlocal sent_all
            if sent_all:
                await ended.wait()
                return {"type": "http.disconnect"}
            chunk = next(chunks, None)
            sent_all = chunk is None
            return {"type": "http.request", "body": chunk or b"", "more_body": not sent_all}

        async def send(message: Any) -> None:
            nonlocal status, shown
            if message["type"] == "http.response.start":
                status = message["status"]
                shown = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                ended.set()

        seen: list[Access] = []
        self.app.observers.append(seen.append)
        try:
            await self.app(scope, receive, send)
        finally:
            self.app.observers.remove(seen.append)
        assert ended.is_set(), "the application sent no complete response"
        mine = [access for access in seen if access.request_id == shown.get("x-openstack-request-id")]
        return Answer(status, shown, b"".join(parts), mine[0] if mine else None)
