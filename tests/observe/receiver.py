"""A collector of traces: takes OTLP over HTTP as real ones do, and keeps the spans."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from polyvisor.model.record import Record


class Span(Record):
    """One span, ids in hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    started_ns: int
    ended_ns: int
    failed: bool
    said: str
    attributes: dict[str, Any]
    service: str


class Receiver:
    """`with Receiver() as receiver: ... receiver.spans()`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self.raw: list[bytes] = []
        """Every body as it came."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join(30)
        self._server.server_close()

    def take(self, body: bytes) -> None:
        """One export."""
        found = []
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"]
            for scope in resource.scope_spans:
                found += [_span(span, service) for span in scope.spans]
        with self._lock:
            self.raw.append(body)
            self._spans += found

    def spans(self, trace: str | None = None) -> list[Span]:
        """Those that have come, of one trace where it is given."""
        with self._lock:
            return [span for span in self._spans if trace in (None, span.trace)]


def _span(span: Any, service: str) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        failed=span.status.code == 2,
        said=span.status.message,
        attributes={each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes},
        service=service,
    )


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            receiver.take(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Not in the test's output."""

    return Handler
