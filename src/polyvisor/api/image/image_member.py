"""Members: the projects that a shared image is shown to, and what they answered."""

from typing import Annotated, Any

import msgspec

from polyvisor.api.image.policies import target_of
from polyvisor.api.image.settings import ImageSettings
from polyvisor.api.kit import Call, Reply, Resource
from polyvisor.api.kit.times import zulu
from polyvisor.model.errors import Forbidden, NotFound, TooLarge
from polyvisor.model.image import Image, MemberStatus, Visibility
from polyvisor.model.image_member import ImageMember

image_members = Resource("/images/{id}/members")


class NewMember(msgspec.Struct, forbid_unknown_fields=True):
    """The project to share with."""

    member: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """What the project answers."""

    status: MemberStatus
    member: str | None = None
    """openstacksdk names the member here as well; the path decides."""


@image_members.route("POST", policy="add_member", body=NewMember, checked_by_handler=True)
def create(call: Call) -> Reply:
    """Share an image with a project: it sees the image by its id at once, and in lists once it has accepted."""
    image = _shared(call)
    call.require("add_member", target_of(image))
    most = call.part(ImageSettings).max_members
    if len(call.store.image_member.list(image.id)) >= most:
        raise TooLarge(f"Image {image.id} is shared with {most} projects already: at most so many are allowed.")
    new: NewMember = call.body
    member = ImageMember(
        image_id=image.id, member_id=new.member, status=MemberStatus.PENDING, created_at=call.now, updated_at=call.now
    )
    call.store.image_member.create(member)
    return Reply(200, member_view(member))


@image_members.route("GET", policy="get_members", checked_by_handler=True)
def list_members(call: Call) -> Reply:
    """Every member for the image's owner; a member sees itself alone."""
    image = _shared(call)
    call.require("get_members", target_of(image, call.caller.project_id))
    members = call.store.image_member.list(image.id)
    if not _is_owner(call, image):
        members = [member for member in members if member.member_id == call.project_id]
    return Reply(200, {"members": [member_view(member) for member in members], "schema": "/v2/schemas/members"})


@image_members.route("GET", "/{member}", policy="get_member", checked_by_handler=True)
def show(call: Call) -> Reply:
    """One member."""
    image = _shared(call)
    call.require("get_member", target_of(image, call.caller.project_id))
    return Reply(200, member_view(_member(call, image)))


@image_members.route("PUT", "/{member}", policy="modify_member", body=Answer, checked_by_handler=True)
def update(call: Call) -> Reply:
    """Accept or reject; only the member itself can."""
    image = _shared(call)
    member = _member(call, image)
    call.require("modify_member", target_of(image, member.member_id))
    answer: Answer = call.body
    return Reply(200, member_view(call.store.image_member.update(image.id, member.member_id, answer.status, call.now)))


@image_members.route("DELETE", "/{member}", policy="delete_member", checked_by_handler=True)
def delete(call: Call) -> Reply:
    """Share the image with that project no longer."""
    image = _shared(call)
    member = _member(call, image)
    call.require("delete_member", target_of(image))
    call.store.image_member.delete(image.id, member.member_id)
    return Reply(204)


def member_view(member: ImageMember) -> dict[str, Any]:
    """The JSON object."""
    return {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": member.status.value,
        "created_at": zulu(member.created_at),
        "updated_at": zulu(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def _shared(call: Call) -> Image:
    image = call.store.image.get(call.path["id"], project_id=call.owner)
    if image.visibility is not Visibility.SHARED:
        raise Forbidden(
            f"Only shared images have members; image {image.id} is {image.visibility}. Set its visibility to shared."
        )
    return image


def _is_owner(call: Call, image: Image) -> bool:
    return call.is_admin or image.owner == call.project_id


def _member(call: Call, image: Image) -> ImageMember:
    member_id = call.path["member"]
    if not _is_owner(call, image) and member_id != call.project_id:
        raise NotFound(f"Project {member_id} is not a member of image {image.id}.")
    return call.store.image_member.get(image.id, member_id)
