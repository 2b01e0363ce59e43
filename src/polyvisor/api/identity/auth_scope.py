"""What a caller could get a token for, and the catalogue it would find there."""

from polyvisor.api.identity.common import whole
from polyvisor.api.identity.domain import view as domain_view
from polyvisor.api.identity.project import view as project_view
from polyvisor.api.identity.token_view import catalog_view
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.domain import DomainFilter
from polyvisor.model.errors import Forbidden
from polyvisor.model.project import Project, ProjectFilter

scopes = Resource("/auth")
RULES = [
    Rule(name="identity:get_auth_catalog", check="@", description="See the catalogue of one's own token."),
    Rule(name="identity:get_auth_projects", check="@", description="List the projects one could get a token for."),
    Rule(name="identity:get_auth_domains", check="@", description="List the domains one could get a token for."),
    Rule(name="identity:get_auth_system", check="@", description="See whether one could get a token for the system."),
]


@scopes.route("GET", "/catalog", policy="identity:get_auth_catalog")
def catalog(call: Call) -> Reply:
    """The services that the caller's token is for."""
    caller = call.caller
    if not caller.roles:
        raise Forbidden("A token without a scope has no catalogue: authenticate with a project as the scope.")
    return whole(call, "catalog", catalog_view(call.store.catalog.entries(), caller.project_id))


@scopes.route("GET", "/projects", policy="identity:get_auth_projects")
def projects(call: Call) -> Reply:
    """The enabled projects on which the caller has a role."""
    return whole(call, "projects", [project_view(call, record) for record in projects_of(call, call.caller.user_id)])


def projects_of(call: Call, user_id: str) -> list[Project]:
    """The enabled projects on which a user has a role: direct, by a group, or inherited."""
    held = call.store.assignment.of_user(user_id)
    ids = {one.project_id for one in held if one.project_id is not None and not one.inherited}
    homes = {one.domain_id for one in held if one.domain_id is not None and one.inherited}
    tops = {one.project_id for one in held if one.project_id is not None and one.inherited}
    for top in tops:
        ids.update(record.id for record in call.store.project.below(top))
    found = {record.id: record for record in call.store.project.list(ProjectFilter(ids=tuple(ids), enabled=True))}
    for home in homes:
        found.update(
            (record.id, record) for record in call.store.project.list(ProjectFilter(domain_id=home, enabled=True))
        )
    domains = call.store.domain.list(DomainFilter(enabled=True))
    enabled = {record.id for record in domains}
    return sorted((record for record in found.values() if record.domain_id in enabled), key=lambda record: record.name)


@scopes.route("GET", "/domains", policy="identity:get_auth_domains")
def domains(call: Call) -> Reply:
    """The enabled domains on which the caller has a role."""
    held = call.store.assignment.of_user(call.caller.user_id)
    ids = tuple({one.domain_id for one in held if one.domain_id is not None and not one.inherited})
    found = call.store.domain.list(DomainFilter(ids=ids, enabled=True))
    return whole(call, "domains", [domain_view(call, record) for record in found])


@scopes.route("GET", "/system", policy="identity:get_auth_system")
def system(call: Call) -> Reply:
    """The system, where the caller has a role on it."""
    held = call.store.assignment.roles_on_system(call.caller.user_id)
    return whole(call, "system", [{"all": True}] if held else [])
