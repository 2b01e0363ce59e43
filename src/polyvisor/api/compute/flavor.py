"""Flavors: list, show, create, describe, delete."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.compute import extra_spec
from polyvisor.api.compute.fields import MOST, Name, Truth, Whole, truth, whole
from polyvisor.api.compute.server_view import links
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.api.kit.paging import limit_of, next_links, sort_pairs
from polyvisor.model.errors import Invalid
from polyvisor.model.flavor import Flavor
from polyvisor.store.flavor import SORT_KEYS

flavors = Resource("/flavors")

LIST = "os_compute_api:flavors:index"
SHOW = "os_compute_api:flavors:show"
MANAGE = "os_compute_api:os-flavor-manage"
RULES = [
    Rule(name=LIST, check="@", description="List the flavors that the project may use."),
    Rule(name=SHOW, check="@", description="Show a flavor that the project may use."),
    Rule(name=f"{MANAGE}:create", check="rule:context_is_admin", description="Make a flavor."),
    Rule(name=f"{MANAGE}:update", check="rule:context_is_admin", description="Describe a flavor."),
    Rule(name=f"{MANAGE}:delete", check="rule:context_is_admin", description="Delete a flavor."),
]

Description = Annotated[str, msgspec.Meta(max_length=65_535)] | None
FlavorId = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^(?! )[a-zA-Z0-9. _-]*(?<! )$")] | int | None


class FlavorQuery(Page, frozen=True):
    """What a list is narrowed to."""

    is_public: str | None = None
    min_disk: Annotated[int, msgspec.Meta(ge=0, le=MOST)] = msgspec.field(default=0, name="minDisk")
    min_ram: Annotated[int, msgspec.Meta(ge=0, le=MOST)] = msgspec.field(default=0, name="minRam")
    sort_key: list[str] = []
    sort_dir: list[str] = []


class NewFlavor(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The `flavor` of a request to make one."""

    name: Name
    id: FlavorId = None
    ram: Whole
    vcpus: Whole
    disk: Whole
    ephemeral: Whole = msgspec.field(default=0, name="OS-FLV-EXT-DATA:ephemeral")
    swap: Whole = 0
    rxtx_factor: float | str = 1.0
    is_public: Truth = msgspec.field(default=True, name="os-flavor-access:is_public")


class NewFlavorFrom255(NewFlavor, forbid_unknown_fields=True, kw_only=True):
    """From 2.55: a description."""

    description: Description = None


class FlavorChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What can be changed of a flavor."""

    description: Description


@flavors.route("GET", policy=LIST, query=FlavorQuery, ignore_unknown_query=True, last=(2, 74))
@flavors.route("GET", policy=LIST, query=FlavorQuery, first=(2, 75))
def index(call: Call) -> Reply:
    """Ids and names."""
    return _listed(call, summary)


@flavors.route("GET", "/detail", policy=LIST, query=FlavorQuery, ignore_unknown_query=True, last=(2, 74))
@flavors.route("GET", "/detail", policy=LIST, query=FlavorQuery, first=(2, 75))
def detail(call: Call) -> Reply:
    """Whole flavors."""
    return _listed(call, view)


@flavors.route("GET", "/{id}", policy=SHOW)
def show(call: Call) -> Reply:
    """One flavor."""
    return Reply(200, {"flavor": view(call, usable(call))})


@flavors.route("POST", policy=f"{MANAGE}:create", body={(2, 1): NewFlavor, (2, 55): NewFlavorFrom255}, key="flavor")
def create(call: Call) -> Reply:
    """Make a flavor."""
    asked: NewFlavor = call.body
    flavor = Flavor(
        id=call.new_id() if asked.id in (None, "", "auto") else str(asked.id),
        name=asked.name,
        vcpus=whole(asked.vcpus, "flavor.vcpus", 1),
        memory_mib=whole(asked.ram, "flavor.ram", 1),
        root_gib=whole(asked.disk, "flavor.disk"),
        ephemeral_gib=whole(asked.ephemeral, "flavor.OS-FLV-EXT-DATA:ephemeral"),
        swap_mib=whole(asked.swap, "flavor.swap"),
        rxtx_factor=_factor(asked.rxtx_factor),
        public=truth(asked.is_public, "flavor.os-flavor-access:is_public"),
        description=asked.description if isinstance(asked, NewFlavorFrom255) else None,
        created_at=call.now,
    )
    call.store.flavor.create(flavor)
    return Reply(200, {"flavor": view(call, flavor)})


@flavors.route("PUT", "/{id}", policy=f"{MANAGE}:update", body=FlavorChange, key="flavor", first=(2, 55))
def update(call: Call) -> Reply:
    """Replace the description."""
    change: FlavorChange = call.body
    return Reply(200, {"flavor": view(call, call.store.flavor.describe(call.path["id"], change.description))})


@flavors.route("DELETE", "/{id}", policy=f"{MANAGE}:delete")
def delete(call: Call) -> Reply:
    """Delete a flavor; servers made with it stay as they are."""
    call.store.flavor.delete(call.path["id"])
    return Reply(202)


def usable(call: Call) -> Flavor:
    """The flavor of the path, if the caller may use it. Raises NotFound."""
    project_id = None if call.is_admin else call.caller.project_id or ""
    return call.store.flavor.get(call.path["id"], project_id=project_id)


def summary(call: Call, flavor: Flavor) -> dict[str, Any]:
    """A line of the short list."""
    shown: dict[str, Any] = {"id": flavor.id, "name": flavor.name, "links": links(call, "flavors", flavor.id)}
    if call.version >= (2, 55):
        shown["description"] = flavor.description
    return shown


def view(call: Call, flavor: Flavor) -> dict[str, Any]:
    """The whole flavor."""
    shown = {
        **summary(call, flavor),
        "ram": flavor.memory_mib,
        "disk": flavor.root_gib,
        "swap": flavor.swap_mib or (0 if call.version >= (2, 75) else ""),
        "vcpus": flavor.vcpus,
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gib,
        "OS-FLV-DISABLED:disabled": flavor.disabled,
        "os-flavor-access:is_public": flavor.public,
        "rxtx_factor": flavor.rxtx_factor,
    }
    if call.version >= (2, 61) and call.allows(extra_spec.INDEX):
        shown["extra_specs"] = flavor.extra_specs
    return shown


def _listed(call: Call, shape: Any) -> Reply:
    query: FlavorQuery = call.query
    limit = limit_of(call, query.limit)
    found = call.store.flavor.list(
        project_id=call.caller.project_id,
        public=_public(query.is_public) if call.is_admin else True,
        min_disk_gib=query.min_disk,
        min_memory_mib=query.min_ram,
        sort=sort_pairs(query.sort_key, query.sort_dir, tuple(SORT_KEYS), [("flavorid", "asc")]),
        marker=query.marker,
        limit=limit,
    )
    pages = next_links(call, "flavors", [flavor.id for flavor in found], limit)
    return Reply(200, {"flavors": [shape(call, flavor) for flavor in found], **pages})


def _public(asked: str | None) -> bool | None:
    if asked is None:
        return True
    if asked.lower() == "none":
        return None
    try:
        return truth(asked, "is_public")
    except Invalid:
        raise Invalid(
            f"The query parameter 'is_public' is invalid: true, false or none is expected, not '{asked[:64]}'."
        ) from None


def _factor(asked: float | str) -> float:
    try:
        factor = float(asked)
    except ValueError:
        factor = -1.0
    if not 0 < factor <= 3.4e38:
        raise Invalid("The field 'flavor.rxtx_factor' is invalid: a number above 0 is expected.")
    return factor
