"""Traces: from a client's span to the hypervisor's steps, one tree, as a real collector receives it."""

import secrets

import pytest

from polyvisor.observe.traces import operation_span, read_traceparent
from tests.observe.observed import ObservedCloud, wait_for
from tests.observe.receiver import Span

pytestmark = pytest.mark.xdist_group("observed")

CREATE = ("claim", "prepare_image", "make", "boot", "finish")
STEPS = frozenset(f"server.create {step}" for step in CREATE)


def names(cloud: ObservedCloud, trace: str) -> set[str]:
    """Of the spans that have come; each is sent when it has ended, in no order that holds for all."""
    return {span.name for span in cloud.receiver.spans(trace)}


def tree(spans: list[Span], root: str) -> dict[str, list[Span]]:
    """Parent's id → its children in order; every span hangs below `root`."""
    ids = {span.id for span in spans}
    assert all(span.parent in ids | {root} for span in spans), "a span's parent is missing"
    found: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda each: each.started_ns):
        found.setdefault(span.parent, []).append(span)
    return found


def test_one_trace_leads_from_the_request_to_the_hypervisor(observed: ObservedCloud) -> None:
    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    token = observed.token()
    id = observed.boot(token, "traced", headers={"traceparent": f"00-{trace}-{caller}-01"})
    wait_for(lambda: names(observed, trace) >= {"POST /servers", "server.create", *STEPS}, "the spans")
    children = tree(observed.receiver.spans(trace), caller)

    [request] = children[caller]
    assert request.name == "POST /servers"
    assert request.kind == 2, "a server's span"
    assert request.attributes["http.response.status_code"] == 202
    assert request.attributes["polyvisor.server_id"] == id
    [operation] = children[request.id]
    assert operation.name == "server.create"
    assert operation.attributes["polyvisor.target_id"] == id
    assert operation.attributes["polyvisor.state"] == "done"
    runs = [span for span in children[operation.id] if span.attributes["polyvisor.outcome"] == "done"]
    assert [span.attributes["polyvisor.step"] for span in runs] == list(CREATE)
    places = [span.attributes["polyvisor.place"] for span in runs]
    assert places == ["control", "estate", "estate", "estate", "control"]
    for span in runs:
        assert operation.started_ns <= span.ended_ns
        assert not span.failed
    observed.gone(token, id)


def test_a_trace_begins_here_when_the_client_has_none(observed: ObservedCloud) -> None:
    token = observed.token()
    id = observed.boot(token, "untraced")

    def ended() -> list[Span]:
        named = [x for x in observed.receiver.spans() if x.attributes.get("polyvisor.target_id") == id]
        return [x for x in named if x.name == "server.create"]

    [operation] = wait_for(ended, "the operation's span")
    look = lambda: [x for x in observed.receiver.spans(operation.trace) if x.id == operation.parent]  # noqa: E731
    [request] = wait_for(look, "the request's span")
    assert request.parent == ""
    observed.gone(token, id)


def test_what_the_caller_does_not_record_is_not_recorded(observed: ObservedCloud) -> None:
    trace = secrets.token_hex(16)
    token = observed.token()
    headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-00"}
    observed.call("GET", "/compute/v2.1/flavors", token=token, headers=headers)
    seen = secrets.token_hex(16)
    headers = {"traceparent": f"00-{seen}-{secrets.token_hex(8)}-01"}
    observed.call("GET", "/compute/v2.1/flavors", token=token, headers=headers)
    wait_for(lambda: observed.receiver.spans(seen), "a later request's span")
    assert observed.receiver.spans(trace) == []


def test_a_refusal_is_seen_in_its_trace(observed: ObservedCloud) -> None:
    """A server that no host can take: the step that failed, its undoing, and the operation say so."""
    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    id = observed.refused({"traceparent": f"00-{trace}-{caller}-01"})
    wanted = {"POST /servers", "server.create", "server.create claim"}
    wait_for(lambda: names(observed, trace) >= wanted, "the spans")
    [operation] = [x for x in observed.receiver.spans(trace) if x.name == "server.create"]
    assert operation.failed
    assert "No host can run this server" in operation.said
    [claim] = [x for x in observed.receiver.spans(trace) if x.name == "server.create claim"]
    assert claim.failed
    tree(observed.receiver.spans(trace), caller)
    assert (observed.value("polyvisor_scheduler_refusals_total") or 0) >= 1
    assert (observed.value("polyvisor_scheduler_refused_hosts_total", filter="largest") or 0) >= 3
    observed.gone(observed.token("polyvisor-admin"), id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-0-0-01",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"ff-{'1' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01-more",
        f"00-{'A' * 32}-{'1' * 16}-01",
    ],
)
def test_what_is_no_traceparent_is_passed_over(text: str) -> None:
    """As W3C Trace Context, section 3.2, has it."""
    assert read_traceparent(text) is None


def test_a_later_version_may_say_more() -> None:
    found = read_traceparent(f"cc-{'1' * 32}-{'2' * 16}-01-what-the-future-will-be")
    assert found is not None
    assert found.sampled


def test_an_operations_span_follows_from_its_id() -> None:
    assert operation_span("a") == operation_span("a") != operation_span("b")
    assert 0 < operation_span("a") < 2**64
