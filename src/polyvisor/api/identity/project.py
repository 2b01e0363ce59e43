"""Projects."""

from typing import Any

import msgspec
from msgspec import UNSET

from polyvisor.api.identity.common import (
    Description,
    Id,
    Maybe,
    Name,
    Options,
    domain_manage,
    domain_read,
    facts,
    fresh_id,
    given,
    guarded,
    home_domain,
    limit_of,
    links,
    listed_domain,
    merged,
    page,
    with_extra,
)
from polyvisor.api.identity.project_tag import Tags, unique
from polyvisor.api.kit import Call, Page, Reply, Resource, Rule
from polyvisor.model.errors import Conflict, Invalid
from polyvisor.model.project import Project, ProjectFilter

projects = Resource("/projects")
_MANAGE = domain_manage("target.project.domain_id")
RULES = [
    Rule(
        name="identity:get_project",
        check=f"{domain_read('target.project.domain_id')} or project_id:%(target.project.id)s",
        description="See a project: administrators, readers of its domain, and whoever has a token for it.",
    ),
    Rule(
        name="identity:list_projects",
        check=domain_read("target.domain_id"),
        description="List projects; a token for a domain sees those of that domain.",
    ),
    Rule(name="identity:create_project", check=_MANAGE, description="Make a project."),
    Rule(name="identity:update_project", check=_MANAGE, description="Change a project, also enable and disable it."),
    Rule(name="identity:delete_project", check=_MANAGE, description="Delete a project and the roles on it."),
]


class NewProject(msgspec.Struct, forbid_unknown_fields=True):
    """The body that makes a project."""

    name: Name
    domain_id: Id | None = None
    parent_id: Id | None = None
    description: Description | None = None
    enabled: bool = True
    is_domain: bool = False
    tags: Tags = []
    options: Options = {}


class ProjectChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body that changes a project."""

    name: Name | Maybe = UNSET
    description: Description | Maybe | None = UNSET
    enabled: bool | Maybe = UNSET
    tags: Tags | Maybe = UNSET
    options: Options | Maybe = UNSET
    domain_id: Id | Maybe = UNSET
    parent_id: Id | Maybe | None = UNSET
    is_domain: bool | Maybe = UNSET


class ProjectQuery(Page, frozen=True, kw_only=True):
    """What a list of projects is narrowed to. Tags come separated by commas."""

    name: str | None = None
    domain_id: str | None = None
    parent_id: str | None = None
    enabled: bool | None = None
    is_domain: bool = False
    tags: str | None = None
    tags_any: str | None = msgspec.field(default=None, name="tags-any")
    not_tags: str | None = msgspec.field(default=None, name="not-tags")
    not_tags_any: str | None = msgspec.field(default=None, name="not-tags-any")


class TreeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of the tree around a project."""

    parents_as_list: bool = False
    subtree_as_list: bool = False
    parents_as_ids: bool = False
    subtree_as_ids: bool = False


def view(call: Call, record: Project) -> dict[str, Any]:
    """A project as Keystone shows it."""
    return {
        **record.extra,
        **facts(record, "id", "name", "domain_id", "description", "enabled"),
        "parent_id": record.parent_id or record.domain_id,
        "is_domain": False,
        "tags": list(record.tags),
        "options": {},
        "links": links(call, f"/projects/{record.id}"),
    }


def look(call: Call, rule: str, project_id: str) -> Project:
    """A project, once policy allows `rule` on it."""
    record = call.store.project.find(project_id)
    target = {"target.project.id": project_id, "target.project.domain_id": record.domain_id if record else None}
    return guarded(call, rule, record, target, f"Could not find project: {project_id}.")


@projects.route("GET", policy="identity:list_projects", query=ProjectQuery, checked_by_handler=True)
def index(call: Call) -> Reply:
    """Projects."""
    query: ProjectQuery = call.query
    home = listed_domain(call, query.domain_id)
    call.require("identity:list_projects", {"target.domain_id": home})
    limit = limit_of(call, query.limit)
    by = ProjectFilter(
        domain_id=home,
        parent_id=query.parent_id,
        name=query.name,
        enabled=query.enabled,
        tags=_split(query.tags),
        tags_any=_split(query.tags_any),
        not_tags=_split(query.not_tags),
        not_tags_any=_split(query.not_tags_any),
    )
    # Domains are a resource of their own here: no project is one.
    found = [] if query.is_domain else call.store.project.list(by, limit=limit, marker=query.marker)
    return page(call, "projects", [view(call, record) for record in found], found, limit)


def _split(tags: str | None) -> tuple[str, ...]:
    return tuple(tag for tag in (tags or "").split(",") if tag)


@projects.route("POST", policy="identity:create_project", body=dict[str, Any], key="project", checked_by_handler=True)
def create(call: Call) -> Reply:
    """A new project."""
    body, extra = with_extra(call, NewProject, "project")
    if body.is_domain:
        raise Invalid("The field 'project.is_domain' is invalid: make a domain with POST /v3/domains.")
    parent = None
    if body.parent_id is not None and body.parent_id != body.domain_id:
        parent = call.store.project.find(body.parent_id)
    as_domain = body.parent_id if parent is None else None
    home = body.domain_id or (parent.domain_id if parent is not None else None) or as_domain
    domain_id = home_domain(call, home)
    call.require("identity:create_project", {"target.project.domain_id": domain_id})
    domain = call.store.domain.get(domain_id)
    if as_domain is not None and as_domain != domain.id:
        raise Invalid(f"The parent {as_domain} is neither a project nor the domain of this one.")
    if parent is not None and parent.domain_id != domain.id:
        raise Invalid("The parent is in another domain: a project is in its parent's domain.")
    if not domain.enabled or (parent is not None and not parent.enabled):
        raise Invalid("The parent is disabled: enable it first.")
    record = Project(
        id=fresh_id(call),
        name=body.name,
        domain_id=domain.id,
        parent_id=parent.id if parent is not None else None,
        description=body.description or "",
        enabled=body.enabled,
        tags=unique(body.tags),
        extra=merged({}, extra),
    )
    call.store.project.create(record)
    return Reply(201, {"project": view(call, record)})


@projects.route(
    "GET", "/{id}", policy="identity:get_project", query=TreeQuery, ignore_unknown_query=True, checked_by_handler=True
)
def show(call: Call) -> Reply:
    """One project, with the tree around it where that is asked for."""
    record = look(call, "identity:get_project", call.path["id"])
    shown = view(call, record)
    query: TreeQuery = call.query
    if (query.parents_as_list and query.parents_as_ids) or (query.subtree_as_list and query.subtree_as_ids):
        raise Invalid("The tree comes as a list or as ids: ask for one of the two.")
    if query.parents_as_list:
        shown["parents"] = [{"project": view(call, parent)} for parent in call.store.project.above(record.id)]
    if query.subtree_as_list:
        shown["subtree"] = [{"project": view(call, child)} for child in call.store.project.below(record.id)]
    if query.parents_as_ids:
        nested: dict[str, Any] | None = {record.domain_id: None}
        for parent in reversed(call.store.project.above(record.id)):
            nested = {parent.id: nested}
        shown["parents"] = nested
    if query.subtree_as_ids:
        shown["subtree"] = _tree(record.id, list(call.store.project.below(record.id)))
    return Reply(200, {"project": shown})


def _tree(top: str, below: list[Project]) -> dict[str, Any] | None:
    return {child.id: _tree(child.id, below) for child in below if child.parent_id == top} or None


@projects.route("PATCH", "/{id}", policy="identity:update_project", body=dict[str, Any], key="project",
                checked_by_handler=True)  # fmt: skip
def update(call: Call) -> Reply:
    """Change a project."""
    body, extra = with_extra(call, ProjectChange, "project")
    record = look(call, "identity:update_project", call.path["id"])
    fixed = {"domain_id": record.domain_id, "parent_id": record.parent_id or record.domain_id, "is_domain": False}
    for name, value in given(body, "domain_id", "parent_id", "is_domain").items():
        if value != fixed[name]:
            raise Invalid(f"The field 'project.{name}' cannot be changed.")
    changes = given(body, "name", "description", "enabled", "tags")
    if "description" in changes:
        changes["description"] = changes["description"] or ""
    if "tags" in changes:
        changes["tags"] = unique(changes["tags"])
    if extra:
        changes["extra"] = merged(record.extra, extra)
    _check_enabling(call, record, changes)
    return Reply(200, {"project": view(call, call.store.project.update(record, changes, call.now))})


def _check_enabling(call: Call, record: Project, changes: dict[str, Any]) -> None:
    enabled = changes.get("enabled")
    if enabled is False and record.enabled and any(child.enabled for child in call.store.project.below(record.id)):
        raise Conflict(f"The project {record.name} has enabled projects below it: disable those first.")
    if enabled is True and not all(parent.enabled for parent in call.store.project.above(record.id)):
        raise Conflict(f"The project {record.name} stands below a disabled one: enable that first.")


@projects.route("DELETE", "/{id}", policy="identity:delete_project", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete a project."""
    call.store.project.delete(look(call, "identity:delete_project", call.path["id"]))
    return Reply(204)
