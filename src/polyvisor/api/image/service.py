"""The Image service, version 2."""

from polyvisor.api.image.image import images
from polyvisor.api.image.image_action import image_actions
from polyvisor.api.image.image_data import image_data
from polyvisor.api.image.image_member import image_members
from polyvisor.api.image.image_tag import image_tags
from polyvisor.api.image.info import info
from polyvisor.api.image.policies import RULES
from polyvisor.api.image.schema import schemas
from polyvisor.api.kit import Service
from polyvisor.api.kit.errors import glance_form
from polyvisor.api.kit.versions import glance_root, glance_version

service = Service(
    "image",
    "/image",
    "/v2",
    resources=[images, image_data, image_members, image_tags, image_actions, schemas, info],
    rules=RULES,
    root_document=glance_root,
    version_document=glance_version,
    error_form=glance_form,
)
