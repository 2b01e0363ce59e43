"""Image members: the projects that an image is shared with."""

from datetime import datetime

from polyvisor.model.image import MemberStatus
from polyvisor.model.record import Record


class ImageMember(Record):
    """One project that one image is shared with."""

    image_id: str
    member_id: str
    """The project's id."""
    status: MemberStatus
    created_at: datetime
    updated_at: datetime
