"""Policy rules of the Image service, by Glance's names and with its defaults; and what a rule is asked about."""

from typing import Any

from polyvisor.api.kit import Rule
from polyvisor.model.image import Image

_OWNER = "rule:context_is_admin or (role:member and project_id:%(project_id)s)"
_READER = "rule:context_is_admin or (role:reader and project_id:%(project_id)s)"
_OPEN = "'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s"
_SEES = f"(project_id:%(project_id)s or project_id:%(member_id)s or {_OPEN})"
_MEMBER = "rule:context_is_admin or (role:member and project_id:%(member_id)s)"
_MEMBERS_READER = "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s))"

RULES = [
    Rule(
        name="add_image",
        check="rule:context_is_admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)",
        description="Make an image.",
    ),
    Rule(name="get_images", check=_READER, description="List the images that the project sees."),
    Rule(name="get_image", check=f"rule:context_is_admin or (role:reader and {_SEES})", description="Show an image."),
    Rule(name="modify_image", check=_OWNER, description="Change an image, its properties and its tags."),
    Rule(name="delete_image", check=_OWNER, description="Delete an image."),
    Rule(name="publicize_image", check="rule:context_is_admin", description="Make an image public, or no longer so."),
    Rule(name="communitize_image", check=_OWNER, description="Let everybody use an image that lists do not show."),
    Rule(
        name="download_image",
        check=f"rule:context_is_admin or (role:member and {_SEES})",
        description="Download an image's data.",
    ),
    Rule(name="upload_image", check=_OWNER, description="Upload an image's data."),
    Rule(name="deactivate", check=_OWNER, description="Keep an image's data from being used."),
    Rule(name="reactivate", check=_OWNER, description="Let an image's data be used again."),
    Rule(name="add_member", check=_OWNER, description="Share an image with a project."),
    Rule(name="delete_member", check=_OWNER, description="Share an image with a project no longer."),
    Rule(name="get_member", check=_MEMBERS_READER, description="Show whether an image is shared with a project."),
    Rule(name="get_members", check=_MEMBERS_READER, description="List the projects an image is shared with."),
    Rule(name="modify_member", check=_MEMBER, description="Accept or reject an image that is shared with the project."),
]


def target_of(image: Image, member_id: str | None = None) -> dict[str, Any]:
    """What a rule is asked about an image; `member_id`: the project it is shared with that is meant."""
    return {
        "project_id": image.owner,
        "owner": image.owner,
        "visibility": image.visibility.value,
        "member_id": member_id,
    }
