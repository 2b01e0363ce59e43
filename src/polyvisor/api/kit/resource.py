"""A resource: its routes, each with its policy, its input types and its handler."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from polyvisor.api.kit.call import Call
from polyvisor.api.kit.microversion import FOREVER, Version
from polyvisor.api.kit.query import NoQuery, Parse, parser
from polyvisor.api.kit.reply import Reply, StreamReply
from polyvisor.api.kit.schema import Decode, decoder

PUBLIC = "public"
"""The policy of a route that needs no token; a test lists them all."""
_WRITING = frozenset(("POST", "PUT", "PATCH", "DELETE"))

Handler = Callable[[Call], Reply | StreamReply]
Body = Any
"""A type that msgspec decodes, or a mapping from the microversion where it begins to that type."""


class Route(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One method on one path, in one range of microversions."""

    method: str
    path: str
    policy: str
    handler: Handler
    checked_by_handler: bool
    """The handler enforces the policy itself, on a target it must read first; the kit sees to it that it did."""
    bodies: tuple[tuple[Version, Decode], ...]
    query: Parse
    first: Version
    last: Version
    writes: bool
    transaction: bool
    streams: bool
    slow: bool
    max_body_bytes: int | None
    content_types: tuple[str, ...]
    action: str | None = None

    def body(self, version: Version) -> Decode | None:
        """The decoder for a microversion."""
        found = None
        for since, decode in self.bodies:
            if since <= version:
                found = decode
        return found

    @property
    def takes_body(self) -> bool:
        """Whether the body is read as JSON."""
        return bool(self.bodies) or self.action is not None


class Resource:
    """A list of routes below one path."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.routes: list[Route] = []

    def route(
        self,
        method: str,
        path: str = "",
        *,
        policy: str,
        body: Body = None,
        key: str | None = None,
        query: type[msgspec.Struct] = NoQuery,
        ignore_unknown_query: bool = False,
        first: Version = (0, 0),
        last: Version = FOREVER,
        checked_by_handler: bool = False,
        writes: bool | None = None,
        transaction: bool = True,
        streams: bool = False,
        slow: bool = False,
        max_body_bytes: int | None = None,
        content_types: tuple[str, ...] = ("application/json",),
        action: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Register a handler.

        `policy` names a registered rule, or is PUBLIC. `body` is a Struct or another type (with `key`: the value under
        that one key), or a mapping {(2, 1): Old, (2, 19): New}. `query` is a Struct of query parameters, others are
        refused; without it all are ignored. `first` and
        `last` bound the microversions. `writes` chooses the transaction (default: by method); `transaction=False` gives
        none, for handlers that open their own. `streams` hands the body over unread, as chunks, and implies
        `transaction=False`. `slow` keeps a handler that takes long on purpose (a password check) off the threads that
        quick requests share.
        """

        def register(handler: Handler) -> Handler:
            self.routes.append(
                Route(
                    method=method,
                    path=self.prefix + path,
                    policy=policy,
                    handler=handler,
                    checked_by_handler=checked_by_handler,
                    bodies=_bodies(body, key),
                    # Clients hand a search's parameters on to the thing that they found: there they mean nothing.
                    query=parser(query, ignore_unknown=ignore_unknown_query or query is NoQuery),
                    first=first,
                    last=last,
                    writes=method in _WRITING if writes is None else writes,
                    transaction=transaction and not streams,
                    streams=streams,
                    slow=slow,
                    max_body_bytes=max_body_bytes,
                    content_types=content_types,
                    action=action,
                )
            )
            return handler

        return register

    def action(self, name: str, path: str = "/{id}/action", **options: Any) -> Callable[[Handler], Handler]:
        """Register the handler of one action: `POST path` with a body of one key, `name`; `call.body` is its value.

        Options as for `route`; `body=None` says that the action takes null or an empty object.
        """
        options["body"] = options.get("body") or NoArgument
        return self.route("POST", path, action=name, **options)


class _Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object without keys."""


NoArgument = _Empty | str | None
"""What an action without arguments takes: null, an empty object, or the empty text that some clients send."""


def _bodies(body: Body, key: str | None) -> tuple[tuple[Version, Decode], ...]:
    if body is None:
        return ()
    if isinstance(body, Mapping):
        return tuple((since, decoder(kind, key)) for since, kind in sorted(body.items()))
    return (((0, 0), decoder(body, key)),)
