"""How a request is worked on, on a thread of its own: version, caller, policy, input, handler, commit."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from sqlalchemy.exc import IntegrityError
from structlog.contextvars import bind_contextvars, clear_contextvars

from polyvisor.api.kit.call import NO_VERSION, UNIDENTIFIED, Call, Request
from polyvisor.api.kit.context import Context
from polyvisor.api.kit.errors import Failure, MethodNotAllowed, failure_of, keystone_form
from polyvisor.api.kit.microversion import Version
from polyvisor.api.kit.reply import Reply, StreamReply
from polyvisor.api.kit.resource import PUBLIC, Route
from polyvisor.api.kit.router import Candidates, Found
from polyvisor.api.kit.schema import single_action
from polyvisor.api.kit.service import Service
from polyvisor.api.kit.statements import StatementCount
from polyvisor.model.caller import Caller
from polyvisor.model.errors import Invalid, NotFound, Unauthorized, Unsupported
from polyvisor.store.outage import MaybeCommitted, is_outage, was_undone
from polyvisor.store.store import Store

Answer = Reply | StreamReply
_TRIES = 4
"""How often a handler runs at most while the database undoes what it did."""
_encode = msgspec.json.Encoder().encode


class Engine:
    """Works on requests, each on the thread that it is called on."""

    def __init__(self, context: Context, services: Sequence[Service]) -> None:
        self.context = context
        self.services = tuple(services)
        self.statements = StatementCount(context.database.engine)

    def serve(self, service: Service, found: Found, request: Request) -> tuple[Answer, Call | None]:
        """The answer to a request whose path is known, and its call where it came that far. Raises nothing."""
        self.statements.reset()
        bind_contextvars(request_id=request.id)
        call: Call | None = None
        extra: dict[str, str] = {}
        try:
            version = NO_VERSION
            if service.microversions is not None:
                # An answer about a version that cannot be had still says what the service has.
                extra = service.microversions.headers(service.microversions.minimum)
                version = service.microversions.negotiate(request.headers)
                extra = service.microversions.headers(version)
            route, path = _route(found, request, version)
            for left in reversed(range(_TRIES)):
                call = Call(
                    self.context,
                    request,
                    root=service.root,
                    prefix=service.prefix,
                    route=f"{route.method} {route.path}",
                    path=path,
                    version=version,
                    now=self.context.clock(),
                )
                try:
                    answer = _ready(self._answer(route, call), extra)
                    break
                except Exception as error:
                    if not left or not _may_run_again(route, error, first=left == _TRIES - 1):
                        raise
        except Exception as error:  # noqa: BLE001 (whatever happens, the client gets an answer in its own form)
            answer = self.refuse(service, error, request, extra)
        if call is not None:
            call.statements = self.statements.value
        clear_contextvars()  # the thread serves others next
        return answer, call

    def refuse(self, service: Service, error: Exception, request: Request, extra: Mapping[str, str] = {}) -> Reply:
        """An error in the service's own form."""
        failure = failure_of(error, request.id)
        headers = {**extra, **failure.headers}
        if failure.status == 401:
            headers["WWW-Authenticate"] = f'Keystone uri="{request.base_url}/identity"'
        return Reply(failure.status, _form(service, failure), headers)

    def _answer(self, route: Route, call: Call) -> Answer:
        context = self.context
        token = None if route.policy == PUBLIC else call.headers.get("x-auth-token")
        if token:
            # What we have not sealed goes no further: it takes no connection and no lock.
            context.authenticator.check_seal(token, call.now)
        elif route.policy != PUBLIC:
            raise Unauthorized(UNIDENTIFIED)
        if not route.transaction:
            if token:
                with context.database.read() as store:
                    _identify(call, context.authenticator.caller(store, token, call.now))
            return _handle(route, call)
        with self._transaction(route) as store:
            call.transaction = store
            store.trace = call.trace
            if token:
                _identify(call, context.authenticator.caller(store, token, call.now))
            return _handle(route, call)

    def _transaction(self, route: Route) -> AbstractContextManager[Store]:
        return self.context.database.write() if route.writes else self.context.database.read()


def _may_run_again(route: Route, error: Exception, *, first: bool) -> bool:
    """Whether the database undid all that the handler did, through no fault of the request: it lost to another
    transaction, made the same record as another at the same moment (then its second run says so in its own words), or
    its connection was to a server that is not the primary any more."""
    if not route.transaction or isinstance(error, MaybeCommitted):
        return False  # a handler with transactions of its own may have committed some, or have read from a stream
    return was_undone(error) or isinstance(error, IntegrityError) or (first and is_outage(error))


def _identify(call: Call, caller: Caller) -> None:
    call.known_caller = caller
    if caller.project_id:
        bind_contextvars(project_id=caller.project_id)


def _route(found: Found, request: Request, version: Version) -> tuple[Route, dict[str, str]]:
    candidates = found.methods.get(request.method)
    if candidates is None and request.method == "HEAD":
        candidates = found.methods.get("GET")
    if candidates is None and request.path.endswith("/"):
        raise NotFound("Nothing is here: the path ends where the id of what is meant should follow.")
    if candidates is None:
        allowed = sorted(found.methods)
        sentence = f"The method {request.method} is not allowed here. Allowed are: {', '.join(allowed)}."
        raise MethodNotAllowed(sentence, allowed)
    route, names = _choose(candidates, request, version)
    return route, dict(zip(names, found.values, strict=True))


def _handle(route: Route, call: Call) -> Answer:
    if route.policy != PUBLIC and not route.checked_by_handler:
        call.require(route.policy)
    call.query = route.query(call.request.raw_query)
    if route.takes_body:
        call.body = _body(route, call)
    answer = route.handler(call)
    if route.checked_by_handler and route.policy not in call.enforced:
        raise RuntimeError(f"The handler of {call.route} did not enforce {route.policy}.")
    return answer


def _choose(candidates: Candidates, request: Request, version: Version) -> tuple[Route, tuple[str, ...]]:
    action: str | None = None
    if candidates[0][0].action is not None:
        _check_content_type(candidates[0][0], request)
        action, _ = single_action(request.body)
    for route, names in candidates:
        if route.first <= version <= route.last and route.action == action:
            return route, names
    if action is not None:
        raise Invalid(f"There is no such action: {action[:64]}.")
    raise NotFound("The resource could not be found in this microversion.")


def _body(route: Route, call: Call) -> Any:
    request = call.request
    _check_content_type(route, request)
    decode = route.body(call.version)
    if decode is None:
        raise NotFound("The resource could not be found in this microversion.")
    if route.action is not None:
        return decode(single_action(request.body)[1])
    if not request.body:
        raise Invalid("The request has no body, and needs one in JSON.")
    return decode(request.body)


def _check_content_type(route: Route, request: Request) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given and given not in route.content_types:
        raise Unsupported(f"The content type {given[:64]} is not taken here. Send {' or '.join(route.content_types)}.")


def _form(service: Service, failure: Failure) -> Any:
    return keystone_form(failure) if failure.status == 401 else service.error_form(failure)


def _ready(answer: Answer, extra: Mapping[str, str]) -> Answer:
    """The answer with its JSON written and the service's own headers, made on the worker's thread."""
    headers = {**extra, **answer.headers} if extra else answer.headers
    if isinstance(answer, StreamReply):
        return StreamReply(answer.status, answer.chunks, headers, answer.media_type, answer.length_bytes)
    body = answer.body
    if body is not None and not isinstance(body, bytes):
        body = _encode(body)
    return Reply(answer.status, body, headers, answer.media_type)
