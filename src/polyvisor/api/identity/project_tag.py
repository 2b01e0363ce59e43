"""Tags of projects."""

from typing import Annotated

import msgspec
from msgspec import Meta

from polyvisor.api.identity.common import domain_manage, domain_read, guarded
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.project import Project

Tag = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^,/]*$")]
Tags = Annotated[list[Tag], Meta(max_length=80)]
MOST = 80

tags = Resource("/projects/{id}/tags")
_READ = f"{domain_read('target.project.domain_id')} or project_id:%(target.project.id)s"
_MANAGE = domain_manage("target.project.domain_id")
RULES = [
    Rule(name="identity:list_project_tags", check=_READ, description="List a project's tags."),
    Rule(name="identity:get_project_tag", check=_READ, description="See whether a project has a tag."),
    Rule(name="identity:update_project_tags", check=_MANAGE, description="Replace a project's tags."),
    Rule(name="identity:create_project_tag", check=_MANAGE, description="Add a tag to a project."),
    Rule(name="identity:delete_project_tag", check=_MANAGE, description="Remove a tag from a project."),
    Rule(name="identity:delete_project_tags", check=_MANAGE, description="Remove all tags from a project."),
]


def unique(given: list[str]) -> tuple[str, ...]:
    """Tags without repetitions, in order."""
    return tuple(sorted(set(given)))


def _look(call: Call, rule: str) -> Project:
    project_id = call.path["id"]
    record = call.store.project.find(project_id)
    target = {"target.project.id": project_id, "target.project.domain_id": record.domain_id if record else None}
    return guarded(call, rule, record, target, f"Could not find project: {project_id}.")


def _set(call: Call, record: Project, new: tuple[str, ...]) -> None:
    call.store.project.update(record, {"tags": new}, call.now)


@tags.route("GET", policy="identity:list_project_tags", checked_by_handler=True)
def index(call: Call) -> Reply:
    """A project's tags."""
    return Reply(200, {"tags": list(_look(call, "identity:list_project_tags").tags)})


@tags.route("PUT", policy="identity:update_project_tags", body=Tags, key="tags", checked_by_handler=True)
def replace(call: Call) -> Reply:
    """Replace all tags."""
    record, new = _look(call, "identity:update_project_tags"), unique(call.body)
    _set(call, record, new)
    return Reply(200, {"tags": list(new)})


@tags.route("DELETE", policy="identity:delete_project_tags", checked_by_handler=True)
def clear(call: Call) -> Reply:
    """Remove all tags."""
    _set(call, _look(call, "identity:delete_project_tags"), ())
    return Reply(204)


@tags.route("GET", "/{tag}", policy="identity:get_project_tag", checked_by_handler=True)
def show(call: Call) -> Reply:
    """Whether a project has a tag."""
    if call.path["tag"] not in _look(call, "identity:get_project_tag").tags:
        raise NotFound(f"The project has no tag {call.path['tag']}.")
    return Reply(204)


@tags.route("PUT", "/{tag}", policy="identity:create_project_tag", checked_by_handler=True)
def add(call: Call) -> Reply:
    """Add a tag."""
    record = _look(call, "identity:create_project_tag")
    try:
        tag = msgspec.convert(call.path["tag"], Tag)
    except msgspec.ValidationError:
        raise Invalid("A tag has 1 to 255 characters, and neither a comma nor a slash.") from None
    new = unique([*record.tags, tag])
    if len(new) > MOST:
        raise Invalid(f"A project has at most {MOST} tags.")
    _set(call, record, new)
    return Reply(201)


@tags.route("DELETE", "/{tag}", policy="identity:delete_project_tag", checked_by_handler=True)
def remove(call: Call) -> Reply:
    """Remove a tag."""
    record = _look(call, "identity:delete_project_tag")
    if call.path["tag"] not in record.tags:
        raise NotFound(f"The project has no tag {call.path['tag']}.")
    _set(call, record, tuple(tag for tag in record.tags if tag != call.path["tag"]))
    return Reply(204)
