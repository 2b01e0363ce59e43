"""Agents: what plugs ports into networks at each host, and whether it answers."""

from typing import Any
from urllib.parse import parse_qsl

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.kit.times import zulu
from polyvisor.api.network.form import ADMIN, selected
from polyvisor.model.errors import Conflict, NotFound
from polyvisor.model.host import Host, HostState
from polyvisor.model.vif import VIF_TYPES

agents = Resource("/agents")

RULES = [
    Rule(name="get_agent", check=ADMIN, description="See what plugs ports at hosts."),
    Rule(name="delete_agent", check=ADMIN, description="Ask for an agent's removal, which its host has to go for."),
    Rule(name="get_agents", check="@", description="Ask for the agents' list, which holds those that one may see."),
]
_KEYS = ("id", "host", "agent_type", "binary", "alive", "admin_state_up", "availability_zone")


@agents.route("GET", policy="get_agents")
def index(call: Call) -> Reply:
    """One for each host; none for those who may see none, as Neutron has it. One statement."""
    shown = [view(host) for host in call.store.host.list()] if call.allows("get_agent") else []
    for name, value in parse_qsl(call.request.raw_query):
        if name in _KEYS:
            shown = [each for each in shown if str(each[name]).lower() == value.lower()]
    return Reply(200, {"agents": [selected(call, each) for each in shown]})


@agents.route("GET", "/{id}", policy="get_agent")
def show(call: Call) -> Reply:
    """One of them."""
    return Reply(200, {"agent": selected(call, view(_host(call)))})


@agents.route("DELETE", "/{id}", policy="delete_agent")
def delete(call: Call) -> Reply:
    """Refused for each that there is: an agent is its host's, and goes with it."""
    host = _host(call)
    raise Conflict(
        f"Agent {host.uuid} is that of host {host.name}: take the host away, by deleting its compute service.",
        kind="AgentInUse",
    )


def _host(call: Call) -> Host:
    """The host whose agent the path names. Raises NotFound."""
    for host in call.store.host.list():
        if host.uuid == call.path["id"]:
            return host
    raise NotFound(f"Agent {call.path['id']} could not be found.", kind="AgentNotFound")


def view(host: Host) -> dict[str, Any]:
    """An agent as the API shows it: the host's, whose driver plugs ports itself."""
    return {
        "id": host.uuid,
        "agent_type": "Polyvisor agent",
        "binary": "polyvisor-agent",
        "topic": "N/A",
        "host": host.name,
        "alive": host.state is HostState.UP,
        "admin_state_up": host.enabled,
        "availability_zone": host.zone,
        "description": host.state_reason,
        "created_at": zulu(host.created_at),
        "started_at": zulu(host.created_at),
        "heartbeat_timestamp": zulu(host.seen_at),
        "resources_synced": None,
        "configurations": {
            "vif_type": VIF_TYPES[host.report.hypervisor_type],
            "overlay": host.report.overlay,
            "physical_networks": sorted(host.report.physical_networks),
        },
    }
