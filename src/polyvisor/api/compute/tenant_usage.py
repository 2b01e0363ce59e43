"""Usage of projects over a span of time, in hours of vCPUs, memory and disk."""

from datetime import datetime, timedelta
from typing import Any

from polyvisor.api.kit import Call, NoQuery, Page, Reply, Resource, Rule
from polyvisor.api.kit.paging import limit_of, next_url
from polyvisor.api.kit.times import parse, plain_micros
from polyvisor.model.errors import Invalid
from polyvisor.model.tenant_usage import ServerUsage
from polyvisor.store.tenant_usage import by_project

tenant_usages = Resource("/os-simple-tenant-usage")

_USAGE = "os_compute_api:os-simple-tenant-usage"
RULES = [
    Rule(name=f"{_USAGE}:list", check="rule:context_is_admin", description="Show what all projects used."),
    Rule(name=f"{_USAGE}:show", check="rule:project_reader_or_admin", description="Show what a project used."),
]

_FOUR_WEEKS = timedelta(weeks=4)


class SpanQuery(NoQuery, frozen=True, kw_only=True):
    """From when to when; without them the four weeks until now."""

    start: str | None = None
    end: str | None = None
    detailed: str = "0"


class PageQuery(Page, frozen=True, kw_only=True):
    """From 2.40 in pages, by server."""

    start: str | None = None
    end: str | None = None
    detailed: str = "0"


@tenant_usages.route("GET", policy=f"{_USAGE}:list", query=SpanQuery, ignore_unknown_query=True, last=(2, 39))
@tenant_usages.route(
    "GET", policy=f"{_USAGE}:list", query=PageQuery, ignore_unknown_query=True, first=(2, 40), last=(2, 74)
)
@tenant_usages.route("GET", policy=f"{_USAGE}:list", query=PageQuery, first=(2, 75))
def index(call: Call) -> Reply:
    """All projects that used something. One statement."""
    start, end = _span(call)
    found, pages = _page(call, start, end, None, "tenant_usages_links")
    detailed = call.query.detailed == "1"
    usages = [_sum(call, project, used, start, end, detailed) for project, used in by_project(found).items()]
    return Reply(200, {"tenant_usages": usages, **pages})


@tenant_usages.route("GET", "/{id}", policy=f"{_USAGE}:show", checked_by_handler=True, query=SpanQuery,
                     ignore_unknown_query=True, last=(2, 39))  # fmt: skip
@tenant_usages.route("GET", "/{id}", policy=f"{_USAGE}:show", checked_by_handler=True, query=PageQuery,
                     ignore_unknown_query=True, first=(2, 40), last=(2, 74))  # fmt: skip
@tenant_usages.route("GET", "/{id}", policy=f"{_USAGE}:show", checked_by_handler=True, query=PageQuery, first=(2, 75))
def show(call: Call) -> Reply:
    """One project, server by server. One statement."""
    project_id = call.path["id"]
    call.require(f"{_USAGE}:show", {"project_id": project_id})
    start, end = _span(call)
    found, pages = _page(call, start, end, project_id, "tenant_usage_links")
    # Nova shows {} where nothing was used, which makes the openstack client fail: zeros serve everybody.
    return Reply(200, {"tenant_usage": _sum(call, project_id, found, start, end, detailed=True), **pages})


def _span(call: Call) -> tuple[datetime, datetime]:
    query: SpanQuery = call.query
    end = call.now if query.end is None else parse(query.end, "end")
    start = end - _FOUR_WEEKS if query.start is None else parse(query.start, "start")
    if start >= end:
        raise Invalid("'start' is invalid: it is to be before 'end'.")
    return start, end


def _page(
    call: Call, start: datetime, end: datetime, project_id: str | None, links: str
) -> tuple[list[ServerUsage], dict[str, Any]]:
    if not isinstance(call.query, PageQuery):
        return call.store.tenant_usage.servers(start, end, project_id=project_id), {}
    limit = limit_of(call, call.query.limit)
    found = call.store.tenant_usage.servers(start, end, project_id=project_id, marker=call.query.marker, limit=limit)
    if not found or len(found) < limit:
        return found, {}
    return found, {links: [{"rel": "next", "href": next_url(call, found[-1].server_id)}]}


def _sum(
    call: Call, project_id: str, usages: list[ServerUsage], start: datetime, end: datetime, detailed: bool
) -> dict[str, Any]:
    timed = [(usage, usage.hours(start, end)) for usage in usages]
    shown: dict[str, Any] = {
        "tenant_id": project_id,
        "start": plain_micros(start),
        "stop": plain_micros(end),
        "total_hours": sum((hours for _, hours in timed), 0.0),
        "total_vcpus_usage": sum(usage.vcpus * hours for usage, hours in timed),
        "total_memory_mb_usage": sum(usage.memory_mib * hours for usage, hours in timed),
        "total_local_gb_usage": sum(usage.disk_gib * hours for usage, hours in timed),
    }
    if detailed:
        shown["server_usages"] = [_one(call, usage, hours) for usage, hours in timed]
    return shown


def _one(call: Call, usage: ServerUsage, hours: float) -> dict[str, Any]:
    until = call.now if usage.ended_at is None else usage.ended_at
    return {
        "instance_id": usage.server_id,
        "name": usage.name,
        "tenant_id": usage.project_id,
        "flavor": usage.flavor_name,
        "vcpus": usage.vcpus,
        "memory_mb": usage.memory_mib,
        "local_gb": usage.disk_gib,
        "hours": hours,
        "started_at": plain_micros(usage.started_at),
        "ended_at": plain_micros(usage.ended_at) if usage.ended_at else None,
        "state": "terminated" if usage.ended_at else usage.state,
        "uptime": int((until - usage.started_at).total_seconds()),
    }
