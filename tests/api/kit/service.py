"""A small service for the kit's own tests: cars, kept in memory, with microversions and actions."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import PUBLIC, Call, Microversions, Page, Reply, Resource, Rule, Service, StreamReply
from polyvisor.api.kit.errors import nova_form
from polyvisor.api.kit.paging import limit_of, next_links, sort_pairs
from polyvisor.api.kit.versions import nova_root, nova_version
from polyvisor.model.errors import Conflict, NotFound

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]

cars = Resource("/cars")
CARS = {"1": "Beetle", "2": "Mini", "3": "Panda"}


class NewCar(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    seats: Annotated[int, msgspec.Meta(ge=1, le=9)] = 4
    metadata: dict[str, Annotated[str, msgspec.Meta(max_length=255)]] = {}


class NewCarWithTags(NewCar, forbid_unknown_fields=True):
    tags: list[Name] = []


class CarQuery(Page, frozen=True):
    name: str | None = None
    electric: bool | None = None
    sort_key: list[str] = []
    sort_dir: list[str] = []


@cars.route("GET", policy="cars:list", query=CarQuery)
def index(call: Call) -> Reply:
    query: CarQuery = call.query
    limit = limit_of(call, query.limit)
    [(key, way)] = sort_pairs(query.sort_key, query.sort_dir, ("id", "name"), [("id", "asc")])
    rows = sorted(CARS.items(), key=lambda row: row[key == "name"], reverse=way == "desc")
    ids = [row[0] for row in rows if query.name in (None, row[1])]
    if query.marker:
        ids = ids[ids.index(query.marker) + 1 :]
    ids = ids[:limit]
    return Reply(200, {"cars": [{"id": one} for one in ids], **next_links(call, "cars", ids, limit)})


@cars.route("GET", "/{id}", policy="cars:show")
def show(call: Call) -> Reply:
    if call.path["id"] not in CARS:
        raise NotFound(f"No car {call.path['id']} was found.")
    shown: dict[str, Any] = {"id": call.path["id"], "owner": call.owner, "href": call.url(f"/cars/{call.path['id']}")}
    if call.version >= (2, 5):
        shown["tags"] = []
    return Reply(200, {"car": shown})


@cars.route("POST", policy="cars:create", body={(2, 1): NewCar, (2, 5): NewCarWithTags}, key="car")
def create(call: Call) -> Reply:
    body: NewCar = call.body
    return Reply(202, {"car": {"name": body.name, "seats": body.seats, "counter": call.store.change.next("cars")}})


@cars.action("start", policy="cars:drive")
def start(call: Call) -> Reply:
    return Reply(202)


class Paint(msgspec.Struct, forbid_unknown_fields=True):
    color: Name


@cars.action("paint", policy="cars:drive", body=Paint, first=(2, 3))
def paint(call: Call) -> Reply:
    return Reply(200, {"color": call.body.color})


@cars.route("DELETE", "/{id}", policy="cars:delete", checked_by_handler=True)
def delete(call: Call) -> Reply:
    if call.path["id"] == "unguarded":
        return Reply(204)
    call.require("cars:delete", {"project_id": "of-somebody-else"})
    return Reply(204)


@cars.route("GET", "/{id}/fault", policy=PUBLIC)
def fault(call: Call) -> Reply:
    if call.path["id"] == "conflict":
        call.store.change.value("cars")
        raise Conflict("The car is being driven.")
    raise ZeroDivisionError("secret inner thing")


@cars.route("PUT", "/{id}/load", policy="cars:drive", streams=True, content_types=("application/octet-stream",))
def load(call: Call) -> Reply:
    return Reply(200, {"bytes": sum(len(chunk) for chunk in call.stream)})


@cars.route("GET", "/{id}/load", policy="cars:show")
def unload(call: Call) -> StreamReply:
    return StreamReply(200, (b"x" * 1000 for _ in range(100)), length_bytes=100_000)


@cars.route("GET", "/{id}/docs/{name:rest}", policy="cars:show")
def document(call: Call) -> Reply:
    return Reply(200, call.path)


service = Service(
    "carriage",
    "/carriage",
    "/v2.1",
    resources=[cars],
    rules=[
        Rule(name="cars:list", check="rule:project_reader_or_admin", description="List cars."),
        Rule(name="cars:show", check="rule:project_reader_or_admin", description="Show a car."),
        Rule(name="cars:create", check="rule:project_member_or_admin", description="Add a car."),
        Rule(name="cars:drive", check="rule:project_member_or_admin", description="Drive a car."),
        Rule(name="cars:delete", check="rule:project_member_or_admin", description="Remove a car."),
    ],
    root_document=nova_root,
    version_document=nova_version,
    error_form=nova_form,
    microversions=Microversions(
        service_type="carriage", minimum=(2, 1), maximum=(2, 7), legacy_header="X-OpenStack-Carriage-API-Version"
    ),
    request_id_header="x-carriage-request-id",
)
