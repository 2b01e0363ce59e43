"""Hypervisors: a KVM host, a vSphere cluster or a direct ESXi host each; list, show, find, and what runs there."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from polyvisor.api.compute.fields import number
from polyvisor.api.compute.hypervisor_view import detail, statistics, summary
from polyvisor.api.kit import Call, NoQuery, Page, Reply, Resource, Rule
from polyvisor.api.kit.paging import limit_of, next_links
from polyvisor.api.kit.resource import Handler
from polyvisor.model.errors import Invalid, NotFound, NotOffered
from polyvisor.model.host import Host

hypervisors = Resource("/os-hypervisors")

_HYPERVISORS = "os_compute_api:os-hypervisors"
RULES = [
    Rule(name=f"{_HYPERVISORS}:{verb}", check="rule:context_is_admin", description=described)
    for verb, described in (
        ("list", "List the hypervisors."),
        ("list-detail", "List the hypervisors with all that is known of them."),
        ("show", "Show a hypervisor."),
        ("statistics", "Sum up all hypervisors."),
        ("uptime", "Show how long a hypervisor has been up."),
        ("search", "Find hypervisors by a part of their name."),
        ("servers", "List the servers on hypervisors found by a part of their name."),
    )
]


class ListQuery(Page, frozen=True, kw_only=True):
    """From 2.53: by a part of the name, with the servers."""

    hypervisor_hostname_pattern: str | None = None
    with_servers: bool = False


class ShowQuery(NoQuery, frozen=True, kw_only=True):
    """From 2.53: with the servers."""

    with_servers: bool = False


def _lists(path: str, policy: str) -> Callable[[Handler], Handler]:
    """The routes of a list: unpaged, paged from 2.33, with filters from 2.53."""

    def register(handler: Handler) -> Handler:
        for query, first, last in (
            (NoQuery, (2, 1), (2, 32)),
            (Page, (2, 33), (2, 52)),
            (ListQuery, (2, 53), (2, 74)),
            (ListQuery, (2, 75), (2, 999)),
        ):
            route = hypervisors.route(
                "GET", path, policy=policy, query=query, first=first, last=last, ignore_unknown_query=first < (2, 75)
            )
            route(handler)
        return handler

    return register


@_lists("", f"{_HYPERVISORS}:list")
def index(call: Call) -> Reply:
    """Ids and names."""
    return _listed(call, full=False)


@_lists("/detail", f"{_HYPERVISORS}:list-detail")
def index_detail(call: Call) -> Reply:
    """All that is known."""
    return _listed(call, full=True)


@hypervisors.route("GET", "/statistics", policy=f"{_HYPERVISORS}:statistics", last=(2, 87))
def sums(call: Call) -> Reply:
    """Sums over the hypervisors that the scheduler uses."""
    hosts = [host for host in call.store.host.list() if host.enabled]
    workload = sum(call.store.hypervisor.workload(host.name for host in hosts).values())
    return Reply(200, {"hypervisor_statistics": statistics(hosts, workload)})


@hypervisors.route("GET", "/{id}", policy=f"{_HYPERVISORS}:show", last=(2, 52))
@hypervisors.route("GET", "/{id}", policy=f"{_HYPERVISORS}:show", query=ShowQuery, first=(2, 53))
def show(call: Call) -> Reply:
    """One hypervisor."""
    host = call.store.hypervisor.get(_id(call, call.path["id"]))
    [shown] = _views(call, [host], full=True, with_servers=getattr(call.query, "with_servers", False))
    return Reply(200, {"hypervisor": shown})


@hypervisors.route("GET", "/{id}/uptime", policy=f"{_HYPERVISORS}:uptime", last=(2, 87))
def uptime(call: Call) -> Reply:
    """No hypervisor kind here tells its uptime: clients take 501 for that."""
    host = call.store.hypervisor.get(_id(call, call.path["id"]))
    raise NotOffered(f"The uptime of {host.name} is not known: {host.report.hypervisor_type} hosts do not report it.")


@hypervisors.route("GET", "/{pattern}/search", policy=f"{_HYPERVISORS}:search", last=(2, 52))
def search(call: Call) -> Reply:
    """Hypervisors with `pattern` in their name."""
    hosts = _matching(call, call.path["pattern"])
    return Reply(200, {"hypervisors": _views(call, hosts, full=False)})


@hypervisors.route("GET", "/{pattern}/servers", policy=f"{_HYPERVISORS}:servers", last=(2, 52))
def servers(call: Call) -> Reply:
    """The servers on hypervisors with `pattern` in their name."""
    hosts = _matching(call, call.path["pattern"])
    return Reply(200, {"hypervisors": _views(call, hosts, full=False, with_servers=True)})


def _listed(call: Call, *, full: bool) -> Reply:
    query = call.query
    pattern: str | None = getattr(query, "hypervisor_hostname_pattern", None)
    with_servers: bool = getattr(query, "with_servers", False)
    if pattern is not None:
        if query.limit is not None or query.marker is not None:
            raise Invalid("'hypervisor_hostname_pattern' cannot go with 'limit' or 'marker': leave one of them out.")
        return Reply(200, {"hypervisors": _views(call, _matching(call, pattern), full=full, with_servers=with_servers)})
    if not isinstance(query, Page):
        return Reply(200, {"hypervisors": _views(call, call.store.hypervisor.page(), full=full)})
    limit = limit_of(call, query.limit)
    marker = None if query.marker is None else _marker(call, query.marker)
    hosts = call.store.hypervisor.page(marker=marker, limit=limit)
    shown = _views(call, hosts, full=full, with_servers=with_servers)
    return Reply(
        200, {"hypervisors": shown, **next_links(call, "hypervisors", [str(each["id"]) for each in shown], limit)}
    )


def _matching(call: Call, pattern: str) -> list[Host]:
    hosts = call.store.hypervisor.page(pattern=pattern)
    if not hosts:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    return hosts


def _views(call: Call, hosts: list[Host], *, full: bool, with_servers: bool = False) -> list[dict[str, Any]]:
    """What is shown of hosts; at most two statements, however many there are."""
    names = [host.name for host in hosts]
    if full:
        workload = call.store.hypervisor.workload(names) if call.version < (2, 88) else {}
        shown = [detail(call, host, workload.get(host.name, 0)) for host in hosts]
    else:
        shown = [summary(call, host) for host in hosts]
    if with_servers:
        found = call.store.hypervisor.servers(names)
        for name, each in zip(names, shown, strict=True):
            here = [{"uuid": server_id, "name": server_name} for server_id, server_name in found.get(name, ())]
            if here or call.version >= (2, 75):
                each["servers"] = here
    return shown


def _id(call: Call, given: str) -> int | str:
    """A number before 2.53, a UUID from then on. Raises NotFound for what is neither."""
    if call.version >= (2, 53):
        try:
            return str(UUID(given))
        except ValueError:
            if not given.isdigit():
                raise NotFound(f"Hypervisor {given} could not be found.") from None
            raise Invalid(f"The id of a hypervisor is a UUID from microversion 2.53 on, not {given}.") from None
    try:
        return number(given)
    except ValueError:
        raise NotFound(f"Hypervisor {given} could not be found.") from None


def _marker(call: Call, given: str) -> int | str:
    try:
        return _id(call, given)
    except NotFound:
        raise Invalid(f"The marker {given[:64]} was not found: give the id of the page before's last one.") from None
