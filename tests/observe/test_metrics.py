"""/metrics of a running cloud: what the dashboard and the alerts ask for is there, is documented, and names nobody."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from polyvisor.observe.every import METRICS, reference
from tests.observe.observed import PATIENCE_SECONDS, ObservedCloud, wait_for

pytestmark = pytest.mark.xdist_group("observed")

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana/polyvisor.json"
ENDINGS = ("_bucket", "_count", "_sum")
ELSEWHERE = frozenset(("up",))
"""What Prometheus tells itself."""
OF_AGENTS = frozenset(
    (
        "polyvisor_agent_seen_seconds",
        "polyvisor_agent_certificate_seconds",
        "polyvisor_authority_seconds",
        "polyvisor_place_agents",
        "polyvisor_place_standbys",
        "polyvisor_place_standbys_troubled",
        "polyvisor_certificate_seconds",
    )
)
"""What a cloud without agents and TLS has nothing to say of: `test_estate` has samples of each."""
UNTIL_IT_HAPPENS = frozenset(("polyvisor_database_errors_total",))


@pytest.fixture(scope="module")
def used(shared_observed: ObservedCloud) -> ObservedCloud:
    """A cloud in which a server was made and removed, and one was refused."""
    token = shared_observed.token()
    id = shared_observed.boot(token, "counted")
    shared_observed.gone(token, id)
    shared_observed.gone(shared_observed.token("polyvisor-admin"), shared_observed.refused())
    look = lambda: shared_observed.value("polyvisor_operations_ended_total", kind="server.delete")  # noqa: E731
    wait_for(look, "the delete is counted")
    return shared_observed


def names_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", " ", expression)
    return set(re.findall(r"\b(?:polyvisor|process)_[a-z_]+|\bup\b", bare))


def strings(found: Any, key: str) -> Iterator[str]:
    """Every text under `key`, at any depth."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name == key and isinstance(value, str):
                yield value
            yield from strings(value, key)
    elif isinstance(found, list):
        for value in found:
            yield from strings(value, key)


def asked_for() -> set[str]:
    """Every metric in the dashboard and the alerts."""
    dashboard = strings(json.loads(DASHBOARD.read_text()), "expr")
    alerts = strings(yaml.safe_load(ALERTS.read_text()), "expr")
    found = {name for expression in (*dashboard, *alerts) for name in names_in(expression)}
    assert len(found) > 30, found
    return found - ELSEWHERE


def test_the_dashboard_and_the_alerts_ask_for_what_is_told(used: ObservedCloud) -> None:
    told = {sample.name for sample in used.scrape()}
    assert asked_for() - told <= OF_AGENTS | UNTIL_IT_HAPPENS


def test_every_metric_that_is_told_is_defined_and_documented(used: ObservedCloud) -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    defined = {metric.exported: metric for metric in METRICS}
    for sample in used.scrape():
        if not sample.name.startswith("polyvisor_"):
            continue
        base = next((sample.name.removesuffix(end) for end in ENDINGS if sample.name.endswith(end)), sample.name)
        metric = defined.get(sample.name) or defined[base]
        assert set(sample.labels) - {"le"} == set(metric.labels), sample
        assert f"`{metric.exported}`" in page


def test_the_page_is_up_to_date() -> None:
    """Regenerate with: python -m polyvisor.observe.every > docs/reference/metrics.md"""
    assert (ROOT / "docs/reference/metrics.md").read_text() == reference()


def test_no_two_metrics_have_one_name() -> None:
    names = [metric.name for metric in METRICS]
    assert sorted(names) == sorted(set(names))
    assert all(re.fullmatch(r"polyvisor_[a-z_]+", name) for name in names)


def test_requests_are_counted_by_route_and_never_by_path(used: ObservedCloud) -> None:
    token = used.token()
    path = "/compute/v2.1/servers/5f0ff6a2-0000-4000-8000-000000000001"

    def missed() -> float:
        return used.value("polyvisor_api_requests_total", route="/servers/{id}", method="GET", status="404") or 0

    before = missed()
    assert used.call("GET", path, token=token).status_code == 404
    used.call("GET", "/nothing/of/mine", token=token)
    used.call("PROPFIND", "/compute/v2.1/servers", token=token)
    wait_for(lambda: missed() > before, "the request is counted")
    elsewhere = {"service": "none", "route": "none", "status": "404"}
    wait_for(lambda: used.value("polyvisor_api_requests_total", **elsewhere), "one to nowhere is counted")
    wait_for(lambda: used.value("polyvisor_api_requests_total", method="OTHER"), "a strange method is counted")
    labels = json.dumps([sample.labels for sample in used.scrape()])
    assert "5f0ff6a2" not in labels
    assert "of/mine" not in labels
    assert "PROPFIND" not in labels


def test_a_servers_life_is_counted(used: ObservedCloud) -> None:
    """Its operations, each of its steps, the choice of its host, and no claim that stays."""
    assert (used.value("polyvisor_operations_ended_total", kind="server.create", outcome="done") or 0) >= 1
    for step in ("claim", "prepare_image", "make", "boot", "finish"):
        counted = used.value("polyvisor_step_seconds_count", kind="server.create", step=step, outcome="done")
        assert (counted or 0) >= 1, step
    assert (used.value("polyvisor_step_run_seconds_count", place="estate", step="make", outcome="done") or 0) >= 1
    assert (used.value("polyvisor_scheduler_seconds_count") or 0) >= 1
    used.becomes(0, "polyvisor_steps_running", place="estate")
    used.becomes(3, "polyvisor_hosts", place="estate", state="up")
    used.becomes(3 * 64, "polyvisor_place_vcpus", place="estate", what="total")
    used.becomes(1, "polyvisor_place_held", place="estate", holder="up")
    used.becomes(1, "polyvisor_place_reachable", place="estate", driver="simulated")
    used.becomes(1, "polyvisor_station_active", place="estate")
    used.becomes(1, "polyvisor_station_reachable", place="estate")
    used.becomes(1, "polyvisor_link_up")
    used.becomes(1, "polyvisor_store_readable")
    used.becomes(0, "polyvisor_operations_stuck")


def test_labels_name_no_tenant(used: ObservedCloud) -> None:
    """No project, user or server, by id or by name, whatever they do."""
    token = used.token()
    me = used.call("GET", "/identity/v3/auth/tokens", token=token, headers={"X-Subject-Token": token}).json()["token"]
    id = used.boot(token, "Nq4name")
    told = json.dumps([sample.labels for sample in used.scrape()])
    for secret in (me["project"]["id"], me["user"]["id"], id, "Nq4name"):
        assert secret not in told
    used.gone(token, id)


def test_openmetrics_are_told_to_who_asks_for_them(used: ObservedCloud) -> None:
    """The client library's own strict parser takes them whole."""
    told = {sample.name for sample in used.scrape(as_openmetrics=True)}
    assert "polyvisor_api_requests_total" in told
    assert "polyvisor_build_info" in told


def test_health_is_told_on_both_ports(used: ObservedCloud) -> None:
    """Without a token, in JSON, with a sentence a check."""
    for base in (used.url, used.metrics_url.removesuffix("/metrics")):
        for path in ("/healthz", "/readyz"):
            answer = asked(base + path)
            checks = {check["name"]: check for check in answer.json()["checks"]}
            assert {"control_loop", "heartbeat"} <= checks.keys()
            assert all(check["sentence"] for check in checks.values())
        assert {"database", "token_keys", "draining"} <= checks.keys()


def asked(url: str) -> requests.Response:
    """The answer, once it is that all is well: a machine that stood still may have held up what is looked at."""
    found: list[requests.Response] = []

    def well() -> bool:
        found[:] = [requests.get(url, timeout=PATIENCE_SECONDS)]
        return found[0].status_code == 200

    wait_for(well, f"{url} says that all is well")
    return found[0]
