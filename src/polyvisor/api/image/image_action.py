"""Deactivate and reactivate: an image whose data may not be used for now, neither downloaded nor booted."""

from polyvisor.api.image.policies import target_of
from polyvisor.api.kit import Call, Reply, Resource
from polyvisor.model.errors import Forbidden
from polyvisor.model.image import ImageStatus

image_actions = Resource("/images/{id}/actions")

_SWITCHED = (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED)


@image_actions.route("POST", "/deactivate", policy="deactivate", checked_by_handler=True)
def deactivate(call: Call) -> Reply:
    """Keep the data from being used. Servers that run go on."""
    return _switch(call, "deactivate", ImageStatus.DEACTIVATED)


@image_actions.route("POST", "/reactivate", policy="reactivate", checked_by_handler=True)
def reactivate(call: Call) -> Reply:
    """Let the data be used again."""
    return _switch(call, "reactivate", ImageStatus.ACTIVE)


def _switch(call: Call, action: str, status: ImageStatus) -> Reply:
    image = call.store.image.get(call.path["id"], project_id=call.owner, to_change=True)
    call.require(action, target_of(image))
    if image.status not in _SWITCHED:
        raise Forbidden(f"Not allowed to {action} image {image.id} while it is {image.status}: upload its data first.")
    if image.status is not status:
        call.store.image.update(image, {"status": status}, call.now)
    return Reply(204)
