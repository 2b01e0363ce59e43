"""What ties a request to a distributed trace, in W3C Trace Context's words; who records traces is not known here."""

from collections.abc import Mapping
from typing import Protocol

from polyvisor.model.record import Record


class Traced(Record):
    """A request whose trace is recorded."""

    traceparent: str
    """The request's own: version, trace id, its span's id and flags."""
    parent: str = ""
    """The id of the caller's span, 16 hexadecimal digits; empty where the trace begins here."""


class Tracing(Protocol):
    """Decides which requests are recorded."""

    def begin(self, headers: Mapping[str, str]) -> Traced | None:
        """A request begins; None when it is not recorded. `headers` by lower-case name."""
