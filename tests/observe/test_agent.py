"""A server and two agents, watched: one trace and one set of lines over all processes, and what each tells itself."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from testbed.ports import free_ports
from tests.agent.processes import AgentCloud, AgentProcess, eventually
from tests.clients.cloud import ADMIN
from tests.observe.receiver import Receiver
from tests.observe.test_metrics import OF_AGENTS

pytestmark = pytest.mark.xdist_group("observed_agents")

FLAVOR = "42"
Told = dict[tuple[Any, ...], float]
"""(name, label values in the order of their names …) → value."""


class Watched:
    """A cloud whose processes all tell what they do."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder, self.receiver = folder, receiver
        self.cloud = AgentCloud(folder)
        self.ports = dict(zip(("server", "one", "two"), free_ports(3), strict=True))
        path = folder / "server.toml"
        path.write_text(self._settings("server") + path.read_text())

    def _settings(self, name: str) -> str:
        return (
            f'log_format = "json"\nlog_level = "debug"\n[metrics]\nlisten = "127.0.0.1:{self.ports[name]}"\n'
            f'[traces]\nendpoint = "{self.receiver.url}"\n'
        )

    def agent(self, name: str, *rights: str) -> AgentProcess:
        """One that serves "vc", and runs."""
        made = AgentProcess(self.folder, name, {"vc": self.folder / "estate.db"})
        text = made.config.read_text().replace('[metrics]\nlisten = "none"\n', "")
        made.config.write_text(self._settings(name) + text)
        joined = made.join(self.cloud.url, self.cloud.token(*rights))
        assert joined.returncode == 0, joined
        self.cloud.agents.append(made)
        made.start()
        return made

    def told(self, name: str) -> Told:
        """What one process tells."""
        answer = requests.get(f"http://127.0.0.1:{self.ports[name]}/metrics", timeout=30)
        families = text_string_to_metric_families(answer.text)
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def lines(text: str, **named: str) -> list[dict[str, Any]]:
    """The lines of a log that name these things."""
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if named.items() <= line.items()]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with Receiver() as receiver:
        made = Watched(tmp_path, receiver)
        with made.cloud:
            try:
                yield made
            finally:
                for agent in made.cloud.agents:
                    print(f"--- {agent.name}:\n{agent.logged()[-8000:]}")
                print(f"--- server:\n{made.cloud.server.logged()[-8000:]}")


def test_a_server_and_its_agents_tell_of_one_work(watched: Watched) -> None:
    cloud = watched.cloud
    active = watched.agent("one")
    eventually(lambda: active.roles() == {"vc": "active"}, "the first agent is active")
    cloud.until_hosts(1)
    standby = watched.agent("two", "--place", "vc")
    eventually(lambda: standby.roles() == {"vc": "standby"}, "the second agent is standby")
    # Its first beat says that it has not looked at the place yet; one that has, could take it over.
    ready = ("polyvisor_place_standbys", "vc")
    eventually(lambda: watched.told("server").get(ready) == 1, "the second agent is ready to take over")

    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    image, sdk = cloud.image(), cloud.server.sdk()
    body = {"server": {"name": "one", "imageRef": image, "flavorRef": FLAVOR}}
    asked = sdk.compute.post("/servers", json=body, headers={"traceparent": f"00-{trace}-{caller}-01"})
    server = asked.json()["server"]["id"]
    eventually(lambda: sdk.compute.get_server(server).status == "ACTIVE", "the server is ACTIVE")

    steps = ("claim", "make", "boot", "finish")
    wanted = {"POST /servers", "server.create", *(f"server.create {name}" for name in steps)}
    eventually(lambda: wanted <= {span.name for span in watched.receiver.spans(trace)}, "the trace is whole")
    spans = {span.name: span for span in watched.receiver.spans(trace)}
    request, operation = spans["POST /servers"], spans["server.create"]
    assert (request.parent, operation.parent) == (caller, request.id)
    by_service = {name: spans[f"server.create {name}"].service for name in steps}
    assert by_service == {
        "claim": "polyvisor-server", "make": "polyvisor-agent", "boot": "polyvisor-agent", "finish": "polyvisor-server",
    }  # fmt: skip
    assert {spans[f"server.create {name}"].parent for name in by_service} == {operation.id}

    request_id = asked.headers["x-openstack-request-id"]
    at_server = lines(cloud.server.logged(), server_id=server, request_id=request_id)
    at_agent = lines(active.logged(), server_id=server, request_id=request_id)
    assert {"claim", "finish"} <= {line.get("step") for line in at_server}
    assert {"prepare_image", "make", "boot"} <= {line.get("step") for line in at_agent}
    [operation_id] = {line["operation_id"] for line in at_agent}
    assert operation.attributes["polyvisor.operation_id"] == operation_id
    assert lines(standby.logged(), server_id=server) == []

    one, two = watched.told("one"), watched.told("two")
    assert [told["polyvisor_station_active", "simulated", "vc"] for told in (one, two)] == [1, 0]
    assert [told["polyvisor_station_reachable", "simulated", "vc"] for told in (one, two)] == [1, 1]
    assert [told["polyvisor_link_up",] for told in (one, two)] == [1, 1]
    assert one["polyvisor_link_call_seconds_count", "beat"] >= 1
    assert one["polyvisor_step_run_seconds_count", "server.create", "done", "vc", "make"] == 1
    assert one["polyvisor_certificate_seconds", "agent"] > 86_400

    all_of_it = watched.told("server")
    assert all_of_it["polyvisor_place_held", "simulated", "one", "vc"] == 1
    assert all_of_it["polyvisor_place_agents", "vc"] == 2
    assert all_of_it[ready] == 1
    assert all_of_it["polyvisor_agent_certificate_seconds", "two"] > 86_400
    assert all_of_it["polyvisor_authority_seconds",] > 86_400
    assert all_of_it["polyvisor_certificate_seconds", "agents"] > 86_400

    assert {key[0] for key in all_of_it} >= OF_AGENTS, "what the dashboard and the alerts ask for"

    for name in ("one", "two"):
        answer = requests.get(f"http://127.0.0.1:{watched.ports[name]}/healthz", timeout=30)
        assert [check["name"] for check in answer.json()["checks"]] == ["heartbeat"]
        assert answer.status_code == 200

    # A server that goes away is seen by the agent itself, and the agent by nobody: its own metrics say so.
    cloud.server.kill()
    eventually(lambda: watched.told("one")["polyvisor_link_up",] == 0, "the agent says that its link is down")
    assert sum(value for key, value in watched.told("one").items() if key[0] == "polyvisor_link_failures_total") >= 1


def test_nothing_of_a_join_is_logged_that_is_secret(watched: Watched) -> None:
    """At debug: neither the token that lets an agent join, nor its key, nor the authority's."""
    token = watched.cloud.token()
    agent = AgentProcess(watched.folder, "one", {"vc": watched.folder / "estate.db"})
    joined = agent.join(watched.cloud.url, token)
    assert joined.returncode == 0, joined
    watched.cloud.agents.append(agent)
    agent.start()
    eventually(lambda: agent.roles() == {"vc": "active"}, "the agent is active")
    assert watched.cloud.server.sdk(ADMIN).compute.hypervisors() is not None
    key = (agent.data / "agent.pem").read_text().split("-----")[2].strip().splitlines()[0]
    for text in (watched.cloud.server.logged(), agent.logged(), joined.stdout, joined.stderr):
        assert token.split(".")[1] not in text
        assert key not in text
        assert "PRIVATE KEY" not in text
