"""From an error to a status code, and to each service's own form of saying it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from sqlalchemy.exc import DataError, IntegrityError

from polyvisor.api.kit.microversion import NotAcceptable
from polyvisor.model import errors
from polyvisor.model.errors import PolyvisorError
from polyvisor.model.record import Record
from polyvisor.store.outage import is_busy, is_outage

log = structlog.get_logger("polyvisor.api")

STATUS: dict[type[Exception], int] = {
    errors.Invalid: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.OverQuota: 403,
    errors.NotFound: 404,
    NotAcceptable: 406,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.Unsupported: 415,
    errors.NotOffered: 501,
    errors.Unavailable: 503,
}


class MethodNotAllowed(PolyvisorError):
    """The path is known, the method is not (405)."""

    def __init__(self, sentence: str, allowed: list[str]) -> None:
        super().__init__(sentence)
        self.allowed = allowed


STATUS[MethodNotAllowed] = 405


class Failure(Record):
    """An error as it goes out."""

    status: int
    sentence: str
    request_id: str
    headers: dict[str, str] = {}
    kind: str = ""
    """What the Networking API calls it, where the error says so."""


Form = Callable[[Failure], Any]


def failure_of(error: Exception, request_id: str) -> Failure:
    """What the client is told of an error. What nobody foresaw is logged in full, and told by its request id alone."""
    if isinstance(error, PolyvisorError):
        for kind in type(error).__mro__:
            status = STATUS.get(kind)
            if status is not None:
                headers = {"Allow": ", ".join(error.allowed)} if isinstance(error, MethodNotAllowed) else {}
                return Failure(
                    status=status, sentence=error.sentence, request_id=request_id, headers=headers, kind=error.kind
                )
    if isinstance(error, IntegrityError):
        log.info("conflict", request_id=request_id, reason=str(error.orig))
        sentence = (
            "The request conflicts with a record that another request has just made or removed. Look, and try again."
        )
        return Failure(status=409, sentence=sentence, request_id=request_id)
    if isinstance(error, DataError | OverflowError):
        log.info("unstorable", request_id=request_id, reason=str(error))
        sentence = "A value of the request cannot be stored: a number is too large, or a text holds a NUL character."
        return Failure(status=400, sentence=sentence, request_id=request_id)
    if is_outage(error):
        # The log says so once, when it begins: not at every request.
        sentence = "The database does not answer at this moment. Try again in a few seconds."
        return Failure(status=503, sentence=sentence, request_id=request_id, headers={"Retry-After": "3"})
    if is_busy(error):
        log.warning("database_busy", request_id=request_id, reason=type(error).__name__)
        sentence = "The database is busy. Try again in a moment."
        return Failure(status=503, sentence=sentence, request_id=request_id, headers={"Retry-After": "1"})
    log.error("unexpected_error", request_id=request_id, exc_info=error)
    sentence = (
        f"An unexpected error prevented the server from fulfilling your request. Its log names it by {request_id}."
    )
    return Failure(status=500, sentence=sentence, request_id=request_id)


def title(status: int) -> str:
    """ "Not Found" for 404."""
    return HTTPStatus(status).phrase


def keystone_form(failure: Failure) -> Any:
    """Keystone's, and that of every service's 401."""
    return {"error": {"code": failure.status, "message": failure.sentence, "title": title(failure.status)}}


_NOVA = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def nova_form(failure: Failure) -> Any:
    """Nova's: the status by its name in the Compute API."""
    return {_NOVA.get(failure.status, "computeFault"): {"code": failure.status, "message": failure.sentence}}


def glance_form(failure: Failure) -> Any:
    """Glance's, as it answers clients that take JSON."""
    phrase = title(failure.status)
    return {"message": failure.sentence, "code": f"{failure.status} {phrase}", "title": phrase}


_NEUTRON = {
    400: "BadRequest",
    401: "NotAuthorized",
    403: "PolicyNotAuthorized",
    404: "NotFound",
    405: "HTTPMethodNotAllowed",
    409: "Conflict",
    412: "HTTPPreconditionFailed",
    413: "HTTPRequestEntityTooLarge",
    415: "HTTPUnsupportedMediaType",
    501: "HTTPNotImplemented",
    503: "ServiceUnavailable",
}


def neutron_form(failure: Failure) -> Any:
    """Neutron's: the error by its type, as its clients tell errors apart."""
    kind = failure.kind or _NEUTRON.get(failure.status, "HTTPInternalServerError")
    return {"NeutronError": {"type": kind, "message": failure.sentence, "detail": ""}}
