"""JSON patch as the Image API takes it: which operations there are, and what they change."""

from typing import Any

from polyvisor.api.image.image_fields import FIELDS, check_settable, shown
from polyvisor.api.image.image_property import check_property
from polyvisor.model.errors import Conflict, Forbidden, Invalid
from polyvisor.model.image import Image, ImageStatus
from polyvisor.model.record import Record

V20 = "application/openstack-images-v2.0-json-patch"
V21 = "application/openstack-images-v2.1-json-patch"
MEDIA_TYPES = (V21, V20)
_OPERATIONS = ("add", "replace", "remove")
_LOCKED = frozenset(("disk_format", "container_format"))
"""What cannot be changed any more once there is data, or an upload of it."""


class Change(Record):
    """One operation of a patch."""

    operation: str
    """"add", "replace" or "remove"."""
    name: str
    """The field or property."""
    value: Any = None


def operations(body: list[Any], *, old_form: bool) -> list[Change]:
    """The operations of a body, {"op": "add", "path": "/a", "value": "b"}; in the old form {"add": "/a", "value": "b"}.

    Raises Invalid.
    """
    return [_change(entry, old_form=old_form) for entry in body]


def _change(entry: Any, *, old_form: bool) -> Change:
    if not isinstance(entry, dict):
        raise Invalid(f"Each operation of a patch is an object, not {shown(entry)}.")
    if old_form:
        named = [word for word in _OPERATIONS if word in entry]
        if len(named) != 1:
            raise Invalid(f"Each operation names exactly one of {', '.join(_OPERATIONS)}.")
        operation, path, known = named[0], entry[named[0]], {named[0], "value"}
    else:
        for key in ("op", "path"):
            if key not in entry:
                raise Invalid(f"The operation {shown(entry)} is invalid: '{key}' is missing.")
        operation, path, known = entry["op"], entry["path"], {"op", "path", "value"}
        if operation not in _OPERATIONS:
            raise Invalid(f"The operation {shown(operation)} is not taken: {', '.join(_OPERATIONS)} are.")
    unknown = sorted(set(entry) - known)
    if unknown:
        raise Invalid(f"The operation {shown(entry)} is invalid: '{unknown[0]}' is not known.")
    if operation != "remove" and "value" not in entry:
        raise Invalid(f"The operation {shown(entry)} is invalid: 'value' is missing.")
    if operation == "remove" and "value" in entry:
        raise Invalid(f"The operation {shown(entry)} is invalid: 'remove' takes no value.")
    return Change(operation=operation, name=_pointed_at(path), value=entry.get("value"))


def _pointed_at(path: Any) -> str:
    """The name in a JSON pointer (RFC 6901) with one step. Raises Invalid."""
    if not isinstance(path, str) or not path.startswith("/") or len(path) < 2:
        raise Invalid(f"The pointer {shown(path)} is invalid: a slash and a name are expected, such as /name.")
    name = path[1:]
    if "/" in name:
        raise Invalid(f"The pointer {shown(path)} is invalid: it may have one step only; ~1 is a slash in a name.")
    if "~" in name.replace("~0", "").replace("~1", ""):
        raise Invalid(f"The pointer {shown(path)} is invalid: after a ~ stands 0 (for a ~) or 1 (for a slash).")
    return name.replace("~1", "/").replace("~0", "~")


def changes_of(image: Image, asked: list[Change], *, refuse_present: bool) -> dict[str, Any]:
    """The record's fields that the operations change, done one after the other.

    `refuse_present`: "add" of what is there already is a conflict, as in the old form; else it replaces. Raises
    Invalid, Forbidden and Conflict.
    """
    changes: dict[str, Any] = {}
    properties = dict(image.properties)
    for change in asked:
        check_settable(change.name)
        if change.name == "id":
            raise Forbidden("Attribute 'id' is read-only.")
        if change.name in FIELDS:
            field, value = _of_field(image, change, refuse_present=refuse_present)
            changes[field] = value
        else:
            _of_property(properties, change, refuse_present=refuse_present)
    if properties != image.properties:
        changes["properties"] = properties
    return {field: value for field, value in changes.items() if getattr(image, field) != value}


def _of_field(image: Image, change: Change, *, refuse_present: bool) -> tuple[str, Any]:
    if change.operation == "remove":
        raise Forbidden(f"Property {change.name} may not be removed: replace it by null or another value.")
    if change.operation == "add" and refuse_present:
        raise Conflict(f"Property {change.name} already present.")
    if change.name in _LOCKED and image.status is not ImageStatus.QUEUED:
        raise Forbidden(f"Attribute {change.name} can be replaced for a queued image only; this one is {image.status}.")
    field, check = FIELDS[change.name]
    return field, check(change.name, change.value)


def _of_property(properties: dict[str, str], change: Change, *, refuse_present: bool) -> None:
    present = change.name in properties
    if change.operation == "add" and present and refuse_present:
        raise Conflict(f"Property {change.name} already present.")
    if change.operation != "add" and not present:
        raise Conflict(f"Property {change.name} does not exist.")
    if change.operation == "remove":
        del properties[change.name]
    else:
        properties[change.name] = check_property(change.name, change.value)
