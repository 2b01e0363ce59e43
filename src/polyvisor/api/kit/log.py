"""One line in the log for each request. Never tokens, passwords, user data, or a query's values."""

from collections.abc import Callable

import structlog

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


Observer = Callable[[Access], None]


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
    )
