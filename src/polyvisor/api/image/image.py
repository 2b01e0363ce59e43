"""Images: make, show, list, change and delete them."""

from typing import Any

import msgspec
import structlog

from polyvisor.api.image.image_fields import FIELDS, check_counts, check_settable, check_whole, image_id
from polyvisor.api.image.image_patch import MEDIA_TYPES, V20, changes_of, operations
from polyvisor.api.image.image_property import check_property
from polyvisor.api.image.image_query import ImageQuery, filter_of, order_of
from polyvisor.api.image.image_view import image_view
from polyvisor.api.image.policies import target_of
from polyvisor.api.image.settings import ImageSettings
from polyvisor.api.kit import Call, Reply, Resource
from polyvisor.api.kit.errors import MethodNotAllowed
from polyvisor.api.kit.paging import limit_of, next_url
from polyvisor.image.files import FileBackend
from polyvisor.model.errors import Forbidden, NotFound
from polyvisor.model.image import Image, ImageStatus, Visibility

images = Resource("/images")
log = structlog.get_logger("polyvisor.image")


@images.route("POST", policy="add_image", body=dict[str, Any], checked_by_handler=True)
def create(call: Call) -> Reply:
    """A new image without data, in the state queued."""
    record = _new(call, call.body)
    call.require("add_image", target_of(record))
    _check_visibility(call, record, record.visibility)
    check_whole(record)
    check_counts(record, call.part(ImageSettings))
    call.store.image.create(record)
    return Reply(201, image_view(record), {"Location": call.url(f"/images/{record.id}")})


def _new(call: Call, given: dict[str, Any]) -> Image:
    fields: dict[str, Any] = {"owner": None, "visibility": Visibility.SHARED, "name": None,
                              "disk_format": None, "container_format": None}  # fmt: skip
    properties: dict[str, str] = {}
    chosen = image_id(given["id"]) if "id" in given else call.new_id()
    for name, value in given.items():
        if name == "id":
            continue
        check_settable(name)
        if name in FIELDS:
            field, check = FIELDS[name]
            fields[field] = check(name, value)
        elif value is not None:
            properties[name] = check_property(name, value)
    fields["owner"] = fields["owner"] or call.project_id
    return Image(
        id=chosen,
        status=ImageStatus.QUEUED,
        properties=properties,
        created_at=call.now,
        updated_at=call.now,
        **fields,
    )


@images.route("GET", policy="get_images", query=ImageQuery, ignore_unknown_query=True)
def list_images(call: Call) -> Reply:
    """The images that the caller sees, one page of them."""
    _check_id_given(call)
    query: ImageQuery = call.query
    limit = limit_of(call, query.limit)
    found = call.store.image.list(filter_of(call, query), sort=order_of(query), marker=query.marker, limit=limit)
    body: dict[str, Any] = {
        "images": [image_view(image) for image in found],
        "first": _first(call),
        "schema": "/v2/schemas/images",
    }
    if found and len(found) == limit:
        body["next"] = next_url(call, found[-1].id, base="/v2/images")
    return Reply(200, body)


def _check_id_given(call: Call) -> None:
    """`/images/` is an image without an id to the clients that Glance has, though elsewhere a last slash is nothing."""
    if call.request.path.endswith("/"):
        raise NotFound("Image '' could not be found: its id is missing.")


def _first(call: Call) -> str:
    kept = [part for part in call.request.raw_query.split("&") if part and not part.startswith("marker=")]
    return "/v2/images" + (f"?{'&'.join(kept)}" if kept else "")


@images.route("GET", "/{id}", policy="get_image", checked_by_handler=True)
def show(call: Call) -> Reply:
    """One image."""
    image = call.store.image.get(call.path["id"], project_id=call.owner)
    call.require("get_image", target_of(image, call.caller.project_id))
    return Reply(200, image_view(image))


@images.route("PATCH", "/{id}", policy="modify_image", body=list[Any], content_types=MEDIA_TYPES,
              checked_by_handler=True)  # fmt: skip
def patch(call: Call) -> Reply:
    """Change fields and properties, all of what is asked or nothing."""
    image = call.store.image.get(call.path["id"], project_id=call.owner, to_change=True)
    call.require("modify_image", target_of(image))
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    asked = operations(call.body, old_form=media_type == V20)
    changes = changes_of(image, asked, refuse_present=media_type == V20)
    if not changes:
        return Reply(200, image_view(image))
    changed = msgspec.structs.replace(image, **changes)
    if changed.owner != image.owner and not call.is_admin:
        raise Forbidden("Attribute 'owner' may be changed by an administrator only.")
    if changed.visibility is not image.visibility:
        _check_visibility(call, image, image.visibility)
        _check_visibility(call, image, changed.visibility)
    check_whole(changed)
    check_counts(changed, call.part(ImageSettings), before=image)
    return Reply(200, image_view(call.store.image.update(image, changes, call.now)))


def _check_visibility(call: Call, image: Image, visibility: Visibility) -> None:
    """What is public is the administrators' business, also to make it so no longer."""
    if visibility is Visibility.PUBLIC:
        call.require("publicize_image", target_of(image))
    elif visibility is Visibility.COMMUNITY:
        call.require("communitize_image", target_of(image))


@images.route("DELETE", "/{id}", policy="delete_image", transaction=False, checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Delete an image and its data. Servers made from it go on: hosts have copies of their own."""
    with call.database.write() as store:
        image = store.image.get(call.path["id"], project_id=call.owner, to_change=True)
        call.require("delete_image", target_of(image))
        if image.protected:
            raise Forbidden(f"Image {image.id} is protected and cannot be deleted: set protected to false first.")
        store.image.delete(image.id, call.now)
    # The record goes first: a record without its bytes would be a lie, bytes without a record are collected.
    try:
        call.part(FileBackend).delete(image.id)
    except OSError as error:
        log.warning("image_bytes_left", image_id=image.id, reason=str(error))
    return Reply(204)


@images.route("DELETE", policy="delete_image", transaction=False)
def delete_none(call: Call) -> Reply:
    """All images at once cannot be deleted."""
    _check_id_given(call)
    raise MethodNotAllowed("Images are deleted one by one: DELETE /images/ID.", ["GET", "POST"])
