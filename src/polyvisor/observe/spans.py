"""OpenTelemetry's SDK, loaded only where traces are recorded: ids chosen by us, spans made when they have ended."""

import threading
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

import polyvisor


class _Ids(IdGenerator):
    """Gives the ids that this thread has just chosen."""

    def __init__(self) -> None:
        self.chosen = threading.local()

    def generate_trace_id(self) -> int:
        """Of a trace that begins here."""
        return int(self.chosen.trace)

    def generate_span_id(self) -> int:
        """Of the span that is made now."""
        return int(self.chosen.span)


class Recorder:
    """Records one span after the other, and sends them in batches."""

    def __init__(self, endpoint: str, service: str, instance: str) -> None:
        """Sends to `endpoint`, or to where the variables OTEL_* say."""
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=_resource(service, instance), id_generator=self._ids, shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces") if endpoint else OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("polyvisor", polyvisor.__version__)

    def close(self) -> None:
        """Send what is left, and end."""
        self._provider.shutdown()

    def is_sampled(self, trace: int, parent: tuple[int, int, bool] | None) -> bool:
        """Whether a request's trace is recorded; `parent`: trace, span, and whether the caller records."""
        context = _context(trace, parent[1], sampled=parent[2]) if parent else Context()
        found = self._provider.sampler.should_sample(context, trace, "request", SpanKind.SERVER)
        return found.decision is Decision.RECORD_AND_SAMPLE

    def __call__(
        self,
        name: str,
        *,
        trace: int,
        span: int,
        parent: int,
        started_ns: int,
        ended_ns: int,
        attributes: Mapping[str, str | int | bool],
        error: str = "",
        server: bool = False,
    ) -> None:
        """Record a span that has ended. `parent` 0: the trace begins with it."""
        self._ids.chosen.trace, self._ids.chosen.span = trace, span
        made = self._tracer.start_span(
            name,
            context=_context(trace, parent, sampled=True) if parent else Context(),
            kind=SpanKind.SERVER if server else SpanKind.INTERNAL,
            attributes=dict(attributes),
            start_time=started_ns,
        )
        if error:
            made.set_status(Status(StatusCode.ERROR, error))
        made.end(max(started_ns, ended_ns))


def _resource(service: str, instance: str) -> Resource:
    """Who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go first."""
    told = Resource.create({"service.instance.id": instance, "service.version": polyvisor.__version__})
    if str(told.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
        return told.merge(Resource({"service.name": service}))
    return told


def _context(trace: int, span: int, *, sampled: bool) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace, span, is_remote=True, trace_flags=flags)), Context())
