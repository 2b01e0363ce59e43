"""Spans of requests, operations and steps, sent by OpenTelemetry where an endpoint is set; else none of it is loaded.

A trace passes through several processes and may last for hours, so nobody holds a span open: each is recorded when it
has ended, under an id that the others know beforehand. The request's lies in its `traceparent`, which the operation's
row and each lease carry; the operation's follows from the operation's id.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from polyvisor.api.kit.log import Access
from polyvisor.api.kit.trace import Traced
from polyvisor.model.errors import Invalid
from polyvisor.model.operation import Operation, OperationState
from polyvisor.observe.settings import TracesSettings
from polyvisor.operate.watch import Running

if TYPE_CHECKING:
    from polyvisor.observe.spans import Recorder

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Attributes = Mapping[str, str | int | bool]


class Parent(NamedTuple):
    """A `traceparent`, read."""

    trace: int
    span: int
    sampled: bool


def read_traceparent(text: str) -> Parent | None:
    """The parts of a `traceparent`; None for one that W3C Trace Context calls invalid."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    trace, span = int(found[2], 16), int(found[3], 16)
    return Parent(trace, span, bool(int(found[4], 16) & 1)) if trace and span else None


def operation_span(operation_id: str) -> int:
    """The id of an operation's span, which whoever runs its steps knows without asking."""
    return int.from_bytes(blake2b(operation_id.encode(), digest_size=8).digest(), "big") or 1


def start(settings: TracesSettings, service: str, instance: str) -> Traces | None:
    """Begin to record, where an endpoint is set. Raises Invalid where the libraries for it are missing."""
    named = any(os.environ.get(name) for name in _ENDPOINTS)
    if not (settings.endpoint or named) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from polyvisor.observe.spans import Recorder
    except ImportError:
        raise Invalid(
            "An endpoint for traces is set, and the libraries that send them are missing: "
            "install polyvisor with its extra `traces`, or take the endpoint out."
        ) from None
    return Traces(Recorder(settings.endpoint, service, instance))


class Traces:
    """Records spans; safe from many threads."""

    def __init__(self, record: Recorder) -> None:
        self._record = record

    def close(self) -> None:
        """Send what is left."""
        self._record.close()

    # Requests

    def begin(self, headers: Mapping[str, str]) -> Traced | None:
        """Whether a request is recorded: as its caller decided, or as OTEL_TRACES_SAMPLER says."""
        parent = read_traceparent(headers.get("traceparent", "").strip())
        trace = parent.trace if parent else secrets.randbits(128) or 1
        if not self._record.is_sampled(trace, parent):
            return None
        span = secrets.randbits(64) or 1
        return Traced(traceparent=f"00-{trace:032x}-{span:016x}-01", parent=f"{parent.span:016x}" if parent else "")

    def request(self, access: Access) -> None:
        """A request was answered."""
        own = read_traceparent(access.traced.traceparent) if access.traced else None
        if access.traced is None or own is None:
            return
        ended = time.time_ns()
        method, _, route = access.route.partition(" ")
        attributes: dict[str, str | int | bool] = {
            "http.request.method": access.method,
            "http.response.status_code": access.status,
            "polyvisor.service": access.service,
            "polyvisor.request_id": access.request_id,
        }
        if route:
            attributes["http.route"] = route
        self._record(
            f"{method or access.method} {route or access.service}".strip(),
            trace=own.trace,
            span=own.span,
            parent=int(access.traced.parent or "0", 16),
            started_ns=ended - int(access.duration_seconds * 1e9),
            ended_ns=ended,
            attributes={**attributes, **{f"polyvisor.{name}": value for name, value in access.names.items()}},
            error=f"status {access.status}" if access.status >= 500 else "",
            server=True,
        )

    # Operations

    def operation(self, row: Operation) -> None:
        """An operation ended."""
        parent = read_traceparent(row.trace)
        if parent is not None:
            self._record(
                row.kind,
                trace=parent.trace,
                span=operation_span(row.id),
                parent=parent.span,
                started_ns=_nanoseconds(row.created_at),
                ended_ns=_nanoseconds(row.updated_at),
                attributes={**_about(row), "polyvisor.state": row.state.value, "polyvisor.tries": row.tries},
                error=row.error if row.state is not OperationState.DONE else "",
            )

    @contextmanager
    def step(self, row: Operation, name: str, noted: Running, *, undo: bool) -> Iterator[None]:
        """Around one run of a step."""
        started = time.time_ns()
        try:
            yield
        finally:
            parent = read_traceparent(row.trace)
            if parent is not None:
                self._record(
                    f"{row.kind} {'undo of ' if undo else ''}{name}",
                    trace=parent.trace,
                    span=secrets.randbits(64) or 1,
                    parent=operation_span(row.id),
                    started_ns=started,
                    ended_ns=time.time_ns(),
                    attributes={
                        **_about(row),
                        "polyvisor.step": name,
                        "polyvisor.place": row.place,
                        "polyvisor.outcome": noted.outcome,
                    },
                    error=noted.outcome if noted.outcome in ("failed", "unreachable") else "",
                )


def _about(row: Operation) -> dict[str, str | int | bool]:
    return {
        "polyvisor.operation_id": row.id,
        "polyvisor.kind": row.kind,
        "polyvisor.target_id": row.target_id,
        "polyvisor.project_id": row.project_id,
        "polyvisor.request_id": row.request_id,
    }


def _nanoseconds(moment: datetime) -> int:
    return int((moment - _EPOCH).total_seconds() * 1e6) * 1000
