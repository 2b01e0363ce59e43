"""Automatic networks: `openstack server create --nic auto` asks for one."""

from typing import Any
from urllib.parse import parse_qsl

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.form import MEMBER, READER
from polyvisor.model.network_settings import NetworkSettings

topologies = Resource("/auto-allocated-topology")

RULES = [
    Rule(name="get_auto_allocated_topology", check=READER, description="Get a project's automatic network."),
    Rule(name="create_auto_allocated_topology", check=MEMBER, description="Have an automatic network made."),
    Rule(name="delete_auto_allocated_topology", check=MEMBER, description="Delete a project's automatic network."),
]


def _project(call: Call, rule: str) -> str:
    """The project of the path; "None", as clients write it who mean their own, is the caller's."""
    given = call.path["project_id"]
    project_id = call.project_id if given in ("None", "null") else given
    call.require(rule, {"project_id": project_id})
    return project_id


@topologies.route("GET", "/{project_id}", policy="get_auto_allocated_topology", checked_by_handler=True, writes=True)
def show(call: Call) -> Reply:
    """The project's automatic network, made where it has none; `fields=dry-run` only says whether that would work."""
    project_id = _project(call, "get_auto_allocated_topology")
    if ("fields", "dry-run") in parse_qsl(call.request.raw_query):
        call.store.network_auto.check()
        return _shown("dry-run=pass", project_id)
    found = call.store.network.auto_allocated(project_id)
    if found is None:
        call.require("create_auto_allocated_topology", {"project_id": project_id})
        found = call.store.network_auto.get_or_make(
            project_id, new_id=call.new_id, now=call.now, settings=call.part(NetworkSettings)
        )
    return _shown(found.network_id, project_id)


@topologies.route("DELETE", "/{project_id}", policy="delete_auto_allocated_topology", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete the automatic network with its subnets and its router, unless ports are on it."""
    call.store.network_auto.delete(_project(call, "delete_auto_allocated_topology"), call.now)
    return Reply(204)


def _shown(id: str, project_id: str) -> Reply:
    body: dict[str, Any] = {"id": id, "tenant_id": project_id, "project_id": project_id}
    return Reply(200, {"auto_allocated_topology": body})
