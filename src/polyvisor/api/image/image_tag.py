"""Tags of images, one at a time; a patch sets them all at once."""

import msgspec

from polyvisor.api.image.image_fields import check_counts, tag_text
from polyvisor.api.image.policies import target_of
from polyvisor.api.image.settings import ImageSettings
from polyvisor.api.kit import Call, Reply, Resource
from polyvisor.model.errors import NotFound
from polyvisor.model.image import Image

image_tags = Resource("/images/{id}/tags")


@image_tags.route("PUT", "/{tag}", policy="modify_image", checked_by_handler=True)
def add(call: Call) -> Reply:
    """Add a tag; one that is there already stays."""
    image = _image(call)
    tag = tag_text(call.path["tag"])
    if tag not in image.tags:
        changes = {"tags": (*image.tags, tag)}
        check_counts(msgspec.structs.replace(image, **changes), call.part(ImageSettings))
        call.store.image.update(image, changes, call.now)
    return Reply(204)


@image_tags.route("DELETE", "/{tag}", policy="modify_image", checked_by_handler=True)
def remove(call: Call) -> Reply:
    """Remove a tag."""
    image = _image(call)
    tag = call.path["tag"]
    if tag not in image.tags:
        raise NotFound(f"Image {image.id} has no tag {tag[:64]}.")
    call.store.image.update(image, {"tags": tuple(other for other in image.tags if other != tag)}, call.now)
    return Reply(204)


def _image(call: Call) -> Image:
    image = call.store.image.get(call.path["id"], project_id=call.owner, to_change=True)
    call.require("modify_image", target_of(image))
    return image
