"""One line in the log for each request. Never tokens, passwords, user data, or a query's values."""

from collections.abc import Callable, Mapping

import structlog

from polyvisor.api.kit.trace import Traced
from polyvisor.model.record import Record

log = structlog.get_logger("polyvisor.api")


class Access(Record):
    """What is known of a request when its answer has been sent."""

    request_id: str
    global_request_id: str | None
    method: str
    path: str
    status: int
    duration_seconds: float
    statements: int
    """SQL statements, those of authentication included."""
    route: str
    """The route's method and path, "GET /servers/{id}"; empty where nothing answers."""
    service: str
    user_id: str | None
    project_id: str | None
    version: tuple[int, int]
    names: dict[str, str] = {}
    """What the request is about, as log lines name it: "server_id", "image_id", "operation_id"."""
    traced: Traced | None = None


Observer = Callable[[Access], None]

_NAMES = {"servers": "server_id", "images": "image_id"}
_LONGEST = 64


def named(route: str, path: Mapping[str, str]) -> dict[str, str]:
    """What log lines call the thing in a path: {"server_id": "…"} for "GET /servers/{id}/os-interface"."""
    noun = _NAMES.get(route.partition("/")[2].partition("/")[0])
    value = next(iter(path.values()), None)
    return {noun: value[:_LONGEST]} if noun and value else {}


def write_access(access: Access) -> None:
    """Log a request."""
    log.info(
        "request",
        request_id=access.request_id,
        global_request_id=access.global_request_id,
        method=access.method,
        path=access.path,
        status=access.status,
        duration_ms=round(access.duration_seconds * 1000, 2),
        statements=access.statements,
        user_id=access.user_id,
        project_id=access.project_id,
        **access.names,
    )
