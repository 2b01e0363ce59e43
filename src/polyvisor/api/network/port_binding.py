"""Port bindings: the hosts at which a port is plugged, or is to be plugged after a migration."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import UNSET, Name, Project, UnsetType, given, invalid
from polyvisor.api.network.form import ADMIN, check_revision, selected
from polyvisor.api.network.port_fields import check_vnic_type, vif_type_at
from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.port import Binding, Port
from polyvisor.model.vif import BINDING_FAILED

port_bindings = Resource("/ports/{id}/bindings")
RULES = [
    Rule(name="create_port_binding", check=ADMIN, description="Prepare a port for another host."),
    Rule(name="get_port_binding", check=ADMIN, description="List and show where a port is or may be plugged."),
    Rule(name="update_port_binding", check=ADMIN, description="Change how a port is plugged at a host."),
    Rule(name="activate_port_binding", check=ADMIN, description="Let a port be plugged at a host it is prepared for."),
    Rule(name="delete_port_binding", check=ADMIN, description="Prepare a port for a host no longer."),
]
ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
_FILTERS = ("host", "vif_type", "vnic_type", "status")


class BindingChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What of a binding can be changed."""

    vnic_type: str | UnsetType = UNSET
    profile: dict[str, Any] | UnsetType | None = UNSET


class NewBinding(BindingChange, forbid_unknown_fields=True, kw_only=True):
    """What makes a binding."""

    host: Name
    project_id: Project | UnsetType = UNSET


def _port(call: Call, *, change: bool = False) -> Port:
    record = call.store.port.get(call.path["id"], viewer=call.owner)
    if change:
        check_revision(call, record)
    return record


def _with(call: Call, binding: Binding) -> Binding:
    """The binding with what the body says of its card and profile. Raises Invalid."""
    values = given(call.body)
    if "vnic_type" in values:
        check_vnic_type(values["vnic_type"])
    if "profile" in values:
        values["profile"] = values["profile"] or {}
    known = {name: value for name, value in values.items() if name in ("vnic_type", "profile")}
    return msgspec.structs.replace(binding, **known)


@port_bindings.route("POST", policy="create_port_binding", body=NewBinding, key="binding")
def create(call: Call) -> Reply:
    """Prepare a port for a host: nothing is plugged there before the binding is activated."""
    record = _port(call, change=True)
    host = call.body.host
    if not host or record.device_owner.startswith("network:"):
        raise invalid("a binding names a host, and is of a port that a server has or may have.")
    kind = vif_type_at(call, host)
    if kind == BINDING_FAILED:
        raise Conflict(
            f"Binding of port {record.id} for host {host} failed: there is no such hypervisor.", kind="PortBindingError"
        )
    binding = _with(call, Binding(host=host, vif_type=kind, vnic_type=record.binding.vnic_type))
    call.store.port_binding.create(record, binding)
    return Reply(201, {"binding": view(record, binding, INACTIVE)})


@port_bindings.route("GET", policy="get_port_binding")
def index(call: Call) -> Reply:
    """The active binding first, then those for other hosts, by name. Two statements."""
    record = _port(call)
    shown = [view(record, record.binding, ACTIVE)] if record.binding.host else []
    shown += [view(record, each, INACTIVE) for each in call.store.port_binding.of_port(record.id)]
    for name, value in parse_qsl(call.request.raw_query, keep_blank_values=True):
        if name in _FILTERS:
            shown = [each for each in shown if each[name] == value]
        elif name != "fields":
            raise Invalid(f"['{name[:64]}'] is invalid attribute for filtering. Known are: {', '.join(_FILTERS)}.",
                          kind="HTTPBadRequest")  # fmt: skip
    return Reply(200, {"bindings": [selected(call, each) for each in shown]})


@port_bindings.route("GET", "/{host}", policy="get_port_binding")
def show(call: Call) -> Reply:
    """The binding for one host."""
    record, host = _port(call), call.path["host"]
    if record.binding.host == host:
        return Reply(200, {"binding": selected(call, view(record, record.binding, ACTIVE))})
    return Reply(200, {"binding": selected(call, view(record, call.store.port_binding.get(record.id, host), INACTIVE))})


@port_bindings.route("PUT", "/{host}", policy="update_port_binding", body=BindingChange, key="binding")
def update(call: Call) -> Reply:
    """Change the kind of card or the profile."""
    record, host = _port(call, change=True), call.path["host"]
    if record.binding.host == host:
        changed = call.store.port.change(record, {"binding": _with(call, record.binding)}, call.now)
        return Reply(200, {"binding": view(changed, changed.binding, ACTIVE)})
    binding = _with(call, call.store.port_binding.get(record.id, host))
    call.store.port_binding.put(record.id, binding)
    return Reply(200, {"binding": view(record, binding, INACTIVE)})


@port_bindings.route("PUT", "/{host}/activate", policy="activate_port_binding")
def activate(call: Call) -> Reply:
    """Let the port be plugged at this host from now on; the host before keeps a binding that is not active."""
    changed = call.store.port_binding.activate(_port(call, change=True), call.path["host"], call.now)
    return Reply(200, view(changed, changed.binding, ACTIVE))


@port_bindings.route("DELETE", "/{host}", policy="delete_port_binding")
def delete(call: Call) -> Reply:
    """Prepare the port for this host no longer."""
    call.store.port_binding.delete(_port(call, change=True), call.path["host"])
    return Reply(204)


def view(record: Port, binding: Binding, status: str) -> dict[str, Any]:
    """A binding as the API shows it."""
    return {
        "host": binding.host,
        "vif_type": binding.vif_type,
        "vif_details": binding.vif_details,
        "vnic_type": binding.vnic_type,
        "profile": binding.profile,
        "status": status,
        "project_id": record.project_id,
    }
