"""JSON schemas of images and members, from which clients learn the fields."""

from enum import StrEnum
from typing import Any

from polyvisor.api.image.image_fields import MAX_TEXT, READ_ONLY
from polyvisor.api.kit import Call, Reply, Resource
from polyvisor.model.image import ImageStatus, MemberStatus, Visibility
from polyvisor.model.image_format import ContainerFormat, DiskFormat

schemas = Resource("/schemas")

_OR_NULL = ["null", "string"]
_LINKS = [{"href": "{self}", "rel": "self"}, {"href": "{file}", "rel": "enclosure"}, {"href": "{schema}",
          "rel": "describedby"}]  # fmt: skip


def _field(kind: Any, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


def _words(kind: type[StrEnum], description: str, *, null: bool = False) -> dict[str, Any]:
    words: list[Any] = [word.value for word in kind]
    return _field(_OR_NULL if null else "string", description, enum=[None, *words] if null else words)


_IMAGE: dict[str, dict[str, Any]] = {
    "id": _field("string", "The image's UUID.",
                 pattern="^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"),
    "name": _field(_OR_NULL, "A name to read.", maxLength=MAX_TEXT),
    "owner": _field(_OR_NULL, "The project that owns the image.", maxLength=MAX_TEXT),
    "status": _words(ImageStatus, "Whether the image has data, and whether it may be used."),
    "visibility": _words(Visibility, "Who sees the image."),
    "disk_format": _words(DiskFormat, "What the data is.", null=True),
    "container_format": _words(ContainerFormat, "What the data is wrapped in.", null=True),
    "min_disk": _field("integer", "The smallest root disk, in GiB, that a server needs.", minimum=0),
    "min_ram": _field("integer", "The least memory, in MiB, that a server needs.", minimum=0),
    "protected": _field("boolean", "Whether the image is kept from being deleted."),
    "os_hidden": _field("boolean", "Whether lists leave the image out unless asked for hidden ones."),
    "tags": _field("array", "Words to find the image by.", items={"type": "string", "maxLength": MAX_TEXT}),
    "checksum": _field(_OR_NULL, "MD5 of the data, in hex.", maxLength=32),
    "os_hash_algo": _field(_OR_NULL, "The algorithm of os_hash_value.", maxLength=64),
    "os_hash_value": _field(_OR_NULL, "The data's hash, in hex.", maxLength=128),
    "size": _field(["null", "integer"], "The length of the data in bytes."),
    "virtual_size": _field(["null", "integer"], "The size in bytes of the disk that the data holds."),
    "created_at": _field("string", "When the image was made."),
    "updated_at": _field("string", "When the image was last changed."),
    "self": _field("string", "The path of the image."),
    "file": _field("string", "The path of the data."),
    "schema": _field("string", "The path of this schema."),
}  # fmt: skip
_MEMBER: dict[str, dict[str, Any]] = {
    "member_id": _field("string", "The project that the image is shared with."),
    "image_id": _field("string", "The image."),
    "status": _words(MemberStatus, "What the project answered."),
    "created_at": _field("string", "When the image was shared."),
    "updated_at": _field("string", "When the answer last changed."),
    "schema": _field("string", "The path of this schema."),
}


def _image_schema() -> dict[str, Any]:
    fields = {name: {**field, "readOnly": True} if name in READ_ONLY else field for name, field in _IMAGE.items()}
    return {"name": "image", "properties": fields, "additionalProperties": {"type": "string"}, "links": _LINKS}


def _member_schema() -> dict[str, Any]:
    return {"name": "member", "properties": _MEMBER}


def _page_schema(name: str, of: dict[str, Any], *, paged: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {name: {"type": "array", "items": of}, "schema": {"type": "string"}}
    links = [{"href": "{schema}", "rel": "describedby"}]
    if paged:
        properties |= {"first": {"type": "string"}, "next": {"type": "string"}}
        links += [{"href": "{first}", "rel": "first"}, {"href": "{next}", "rel": "next"}]
    return {"name": name, "properties": properties, "links": links}


_SCHEMAS = {
    "image": _image_schema(),
    "images": _page_schema("images", _image_schema(), paged=True),
    "member": _member_schema(),
    "members": _page_schema("members", _member_schema(), paged=False),
}


@schemas.route("GET", "/image", policy="get_images")
@schemas.route("GET", "/images", policy="get_images")
@schemas.route("GET", "/member", policy="get_images")
@schemas.route("GET", "/members", policy="get_images")
def show(call: Call) -> Reply:
    """One schema, by the last word of the path."""
    return Reply(200, _SCHEMAS[call.route.rpartition("/")[2]])
