"""A server's tags: words that its owner finds it by."""

import msgspec

from polyvisor.api.compute.server_asked import Tag
from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.server import Server

server_tags = Resource("/servers")

MOST_TAGS = 50
"""How many tags a server may have; Nova's own bound."""
_FIRST = (2, 26)
_POLICY = "os_compute_api:os-server-tags"
_READER, _MEMBER = "rule:project_reader_or_admin", "rule:project_member_or_admin"
RULES = [
    Rule(name=f"{_POLICY}:index", check=_READER, description="Read a server's tags."),
    Rule(name=f"{_POLICY}:show", check=_READER, description="Ask whether a server has a tag."),
    Rule(name=f"{_POLICY}:update", check=_MEMBER, description="Add a tag to a server."),
    Rule(name=f"{_POLICY}:update_all", check=_MEMBER, description="Replace a server's tags."),
    Rule(name=f"{_POLICY}:delete", check=_MEMBER, description="Remove a tag from a server."),
    Rule(name=f"{_POLICY}:delete_all", check=_MEMBER, description="Remove all tags from a server."),
]


class _Tags(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tags: tuple[Tag, ...]


@server_tags.route("GET", "/{id}/tags", policy=f"{_POLICY}:index", first=_FIRST)
def tags(call: Call) -> Reply:
    """All of them."""
    return Reply(200, {"tags": list(_own(call).tags)})


@server_tags.route("PUT", "/{id}/tags", policy=f"{_POLICY}:update_all", body=_Tags, first=_FIRST)
def replace_tags(call: Call) -> Reply:
    """These, and no others."""
    wanted = tuple(dict.fromkeys(call.body.tags))
    _set(call, _own(call), wanted)
    return Reply(200, {"tags": list(wanted)})


@server_tags.route("DELETE", "/{id}/tags", policy=f"{_POLICY}:delete_all", first=_FIRST)
def remove_tags(call: Call) -> Reply:
    """None any more."""
    _set(call, _own(call), ())
    return Reply(204)


@server_tags.route("GET", "/{id}/tags/{tag}", policy=f"{_POLICY}:show", first=_FIRST)
def tag(call: Call) -> Reply:
    """Nothing but whether it is there."""
    _held(_own(call), call.path["tag"])
    return Reply(204)


@server_tags.route("PUT", "/{id}/tags/{tag}", policy=f"{_POLICY}:update", first=_FIRST)
def add_tag(call: Call) -> Reply:
    """One more; one that is there already stays."""
    server, wanted = _own(call), call.path["tag"]
    try:
        msgspec.convert(wanted, Tag)
    except msgspec.ValidationError:
        raise Invalid(f"The tag {wanted!r} is invalid: 1 to 60 characters without ',' and '/' are expected.") from None
    if wanted in server.tags:
        return Reply(204)
    _set(call, server, (*server.tags, wanted))
    return Reply(201, headers={"Location": call.url(f"/servers/{server.id}/tags/{wanted}")})


@server_tags.route("DELETE", "/{id}/tags/{tag}", policy=f"{_POLICY}:delete", first=_FIRST)
def remove_tag(call: Call) -> Reply:
    """One less."""
    server, unwanted = _own(call), call.path["tag"]
    _held(server, unwanted)
    _set(call, server, tuple(held for held in server.tags if held != unwanted))
    return Reply(204)


def _own(call: Call) -> Server:
    return call.store.server.get(call.path["id"], project_id=call.owner)


def _held(server: Server, tag: str) -> None:
    if tag not in server.tags:
        raise NotFound(f"Server {server.id} has no tag {tag!r}.")


def _set(call: Call, server: Server, tags: tuple[str, ...]) -> None:
    if len(tags) > MOST_TAGS:
        raise Invalid(f"A server may have {MOST_TAGS} tags at most, and not {len(tags)}.")
    call.store.server.change(server.id, tags=tags, updated_at=call.now)
