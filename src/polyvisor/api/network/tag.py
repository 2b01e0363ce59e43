"""Tags of records, alike for all resources that have them."""

from collections.abc import Callable
from typing import Any

import msgspec

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.api.network.fields import Tags, kept_tags
from polyvisor.api.network.form import MEMBER, READER, check_revision
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.network_standard import Standard
from polyvisor.store.network_standard import StandardNoun

RULES = [
    Rule(name="get_tags", check=READER, description="Show the tags of something in the Networking API."),
    Rule(name="update_tags", check=MEMBER, description="Set tags in the Networking API."),
    Rule(name="delete_tags", check=MEMBER, description="Remove tags in the Networking API."),
]


class TagList(msgspec.Struct, forbid_unknown_fields=True):
    """A record's tags."""

    tags: Tags


class _Handlers:
    """The handlers of one resource's tags."""

    def __init__(self, noun: Callable[[Call], StandardNoun[Any]]) -> None:
        self._noun = noun

    def _found(self, call: Call, rule: str) -> Standard:
        record: Standard = self._noun(call).get(call.path["id"], viewer=call.owner)
        call.require(rule, None if rule == "get_tags" else {"project_id": record.project_id})
        if rule != "get_tags":
            check_revision(call, record)
        return record

    def _put(self, call: Call, record: Standard, wanted: list[str]) -> Reply:
        kept = kept_tags(wanted)
        if kept != record.tags:
            self._noun(call).change(record, {"tags": kept}, call.now)
        return Reply(200, {"tags": list(kept)})

    def index(self, call: Call) -> Reply:
        """All tags."""
        return Reply(200, {"tags": list(self._found(call, "get_tags").tags)})

    def replace(self, call: Call) -> Reply:
        """Other tags instead of all."""
        return self._put(call, self._found(call, "update_tags"), call.body.tags)

    def add_many(self, call: Call) -> Reply:
        """More tags."""
        record = self._found(call, "update_tags")
        return self._put(call, record, [*record.tags, *call.body.tags])

    def clear(self, call: Call) -> Reply:
        """No tags any more."""
        self._put(call, self._found(call, "delete_tags"), [])
        return Reply(204)

    def show(self, call: Call) -> Reply:
        """Whether there is such a tag."""
        _known(self._found(call, "get_tags"), call.path["tag"])
        return Reply(204)

    def add(self, call: Call) -> Reply:
        """One tag more."""
        record = self._found(call, "update_tags")
        if not 1 <= len(call.path["tag"]) <= 255:
            raise Invalid("A tag has 1 to 255 characters.")
        self._put(call, record, [*record.tags, call.path["tag"]])
        return Reply(201)

    def remove(self, call: Call) -> Reply:
        """One tag less."""
        record = self._found(call, "delete_tags")
        _known(record, call.path["tag"])
        self._put(call, record, [tag for tag in record.tags if tag != call.path["tag"]])
        return Reply(204)


def tags_of(collection: str, noun: Callable[[Call], StandardNoun[Any]]) -> Resource:
    """The tags below a collection, "/networks"; `noun` gives the store's part."""
    tags, handlers = Resource(f"{collection}/{{id}}/tags"), _Handlers(noun)
    tags.route("GET", policy="get_tags", checked_by_handler=True)(handlers.index)
    tags.route("PUT", policy="update_tags", checked_by_handler=True, body=TagList)(handlers.replace)
    tags.route("POST", policy="update_tags", checked_by_handler=True, body=TagList)(handlers.add_many)
    tags.route("DELETE", policy="delete_tags", checked_by_handler=True)(handlers.clear)
    tags.route("GET", "/{tag}", policy="get_tags", checked_by_handler=True)(handlers.show)
    tags.route("PUT", "/{tag}", policy="update_tags", checked_by_handler=True)(handlers.add)
    tags.route("DELETE", "/{tag}", policy="delete_tags", checked_by_handler=True)(handlers.remove)
    return tags


def _known(record: Standard, tag: str) -> None:
    if tag not in record.tags:
        raise NotFound(f"Tag {tag} could not be found.", kind="TagNotFound")
