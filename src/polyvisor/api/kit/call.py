"""One request, as a handler sees it."""

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from structlog.contextvars import bind_contextvars

from polyvisor.api.kit.context import Context
from polyvisor.api.kit.log import named
from polyvisor.api.kit.settings import ApiSettings
from polyvisor.api.kit.trace import Traced
from polyvisor.model.caller import Caller
from polyvisor.model.errors import Unauthorized
from polyvisor.store.database import Database
from polyvisor.store.store import Store

Part = TypeVar("Part")
NO_VERSION = (0, 0)
UNIDENTIFIED = "The request you have made requires authentication."


class Request:
    """The raw request: what the edge has read from the wire."""

    __slots__ = (
        "base_url", "body", "global_id", "headers", "id", "method", "path", "query", "raw_query", "stream", "traced",
    )  # fmt: skip

    def __init__(self, method: str, path: str, headers: dict[str, str], raw_query: str, base_url: str) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        """By lower-case name; the last one of several wins."""
        self.raw_query = raw_query
        self.base_url = base_url
        """Scheme and host, without a slash at the end."""
        self.id = f"req-{uuid.uuid4()}"
        given = headers.get("x-openstack-request-id", "")
        self.global_id = given if _REQUEST_ID.fullmatch(given) else None
        """The caller's own request id, which ties the requests of several services together."""
        self.body = b""
        self.traced: Traced | None = None
        """Its trace, where it is recorded."""
        self.stream: Iterator[bytes] | None = None
        """The body's chunks, where the route streams it."""


_REQUEST_ID = re.compile(r"req-[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Call:
    """One request: its decoded input, its caller, and the transaction that it runs in."""

    def __init__(
        self,
        context: Context,
        request: Request,
        *,
        root: str,
        prefix: str,
        route: str,
        path: dict[str, str],
        version: tuple[int, int],
        now: datetime,
    ) -> None:
        self._context = context
        self.transaction: Store | None = None
        """The open transaction, where there is one; handlers take `store`."""
        self.known_caller: Caller | None = None
        """Who calls, or None on a public route; handlers take `caller`."""
        self._root = root
        self._prefix = prefix
        self.route = route
        """The route's method and path, such as "GET /servers/{id}"."""
        self.names = named(route, path)
        """What the request is about, as log lines name it."""
        bind_contextvars(**self.names)
        self.request = request
        self.path = path
        """The variables of the route's path, percent-decoded."""
        self.version = version
        """The microversion of this request, (0, 0) where the service has none."""
        self.now = now
        self.query: Any = None
        """The query parameters, as the route's `query` type."""
        self.body: Any = None
        """The body, as the route's `body` type."""
        self.statements = 0
        """SQL statements that the request took; known when it has ended."""
        self.enforced: set[str] = set()
        """The policy rules that this request has passed."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers by lower-case name."""
        return self.request.headers

    @property
    def request_id(self) -> str:
        """Our id for this request, "req-…"."""
        return self.request.id

    @property
    def trace(self) -> str:
        """The request's `traceparent`; empty where its trace is not recorded."""
        return self.request.traced.traceparent if self.request.traced else ""

    @property
    def settings(self) -> ApiSettings:
        """Settings of the HTTP edge; a service's own come as a part."""
        return self._context.settings

    @property
    def database(self) -> Database:
        """For a handler that opens its own transactions (`transaction=False`)."""
        return self._context.database

    @property
    def store(self) -> Store:
        """This request's transaction; it commits before the answer is sent."""
        if self.transaction is None:
            raise RuntimeError(f"The route {self.route} was declared to have no transaction.")
        return self.transaction

    @property
    def caller(self) -> Caller:
        """Who calls. Raises Unauthorized on a public route without a token."""
        if self.known_caller is None:
            raise Unauthorized(UNIDENTIFIED)
        return self.known_caller

    @property
    def is_admin(self) -> bool:
        """Whether the caller administers the cloud (policy `context_is_admin`)."""
        return self.allows("context_is_admin")

    @property
    def owner(self) -> str | None:
        """Whose things the caller may see: its project's, or None = everybody's (an administrator)."""
        return None if self.is_admin else self.project_id

    @property
    def project_id(self) -> str:
        """The project of the scope. Raises Unauthorized where the token has another scope or none."""
        project_id = self.caller.project_id
        if project_id is None:
            raise Unauthorized("This needs a token for a project: authenticate with a project as the scope.")
        return project_id

    @property
    def stream(self) -> Iterator[bytes]:
        """The body's chunks, as they come (routes with `streams=True`). Raises TooLarge past the route's limit."""
        if self.request.stream is None:
            raise RuntimeError(f"The route {self.route} was not declared to stream its body.")
        return self.request.stream

    def part(self, kind: type[Part]) -> Part:
        """What `serve` has wired for this type: an image backend, a service's settings …"""
        return self._context.part(kind)

    def name(self, **names: str) -> None:
        """What the request turns out to be about, for every line that is logged from here on: `server_id=…`."""
        for name, value in names.items():
            known = self.names.get(name)
            self.names[name] = value if known in (None, value) else f"{known},{value}"
        bind_contextvars(**self.names)

    def new_id(self) -> str:
        """A fresh random UUID."""
        return str(uuid.uuid4())

    def url(self, path: str = "") -> str:
        """An absolute address below this service's version: `url("/servers/1")`."""
        return f"{self.request.base_url}{self._prefix}{path}"

    def unversioned_url(self, path: str = "") -> str:
        """An absolute address below this service's root, as Nova's bookmarks are."""
        return f"{self.request.base_url}{self._root}{path}"

    def allows(self, rule: str, target: Mapping[str, Any] | None = None) -> bool:
        """Whether policy lets the caller do `rule` to `target` (default: a thing of the caller's own)."""
        return self._context.policy.allows(rule, self.caller, target)

    def require(self, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Raise Forbidden unless policy lets the caller do `rule` to `target` (default: a thing of its own)."""
        self._context.policy.require(rule, self.caller, target)
        self.enforced.add(rule)
