"""Images: what a server is made from, and what their properties ask of a host."""

from datetime import datetime
from enum import StrEnum

from polyvisor.model.record import Told


class ImageStatus(StrEnum):
    """The states of the Image API v2."""

    QUEUED = "queued"
    SAVING = "saving"
    ACTIVE = "active"
    KILLED = "killed"
    DELETED = "deleted"
    DEACTIVATED = "deactivated"


class Visibility(StrEnum):
    """Who sees an image, in the Image API's words."""

    PUBLIC = "public"
    COMMUNITY = "community"
    SHARED = "shared"
    PRIVATE = "private"


class MemberStatus(StrEnum):
    """What a project has answered to an image that is shared with it."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Image(Told):
    """An image as the store has it."""

    id: str
    name: str | None
    owner: str | None
    """The project's id."""
    status: ImageStatus
    visibility: Visibility
    disk_format: str | None
    container_format: str | None
    subformat: str | None = None
    """What kind of VMDK or VHD the bytes are, as inspection found them."""
    size_bytes: int | None = None
    virtual_size_bytes: int | None = None
    checksum: str | None = None
    """MD5 in hex, as the Image API's `checksum`."""
    hash_algorithm: str | None = None
    hash_value: str | None = None
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    protected: bool = False
    hidden: bool = False
    properties: dict[str, str] = {}
    """All that is not of the fixed schema: `hw_*`, `vmware_*`, `img_hv_type`, `trait:*`, ..."""
    tags: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime


class ImageFilter(Told):
    """Which images a list shows. None = whatever it is; a tuple = one of these."""

    project_id: str | None
    """Who looks: that project's own images, public ones, and shared ones by `member_status`; None = an administrator,
    who sees all."""
    visibility: Visibility | None = None
    all_visible: bool = False
    """Community images of others as well, which a list leaves out unless it asks for them."""
    member_status: MemberStatus | None = MemberStatus.ACCEPTED
    """What the looking project has answered to those who share images with it; None = whatever."""
    hidden: bool = False
    protected: bool | None = None
    ids: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None
    disk_formats: tuple[str, ...] | None = None
    container_formats: tuple[str, ...] | None = None
    owner: str | None = None
    checksum: str | None = None
    hash_algorithm: str | None = None
    hash_value: str | None = None
    min_disk_gib: int | None = None
    min_ram_mib: int | None = None
    size_bytes: int | None = None
    size_min_bytes: int | None = None
    size_max_bytes: int | None = None
    created: tuple[tuple[str, datetime], ...] = ()
    """Pairs of "gt", "gte", "lt", "lte", "eq" or "neq" and a moment; all of them hold."""
    updated: tuple[tuple[str, datetime], ...] = ()
    tags: tuple[str, ...] = ()
    """An image has all of these."""
    properties: dict[str, str] = {}
    """An image has all of these."""


class ImageRef(Told):
    """What a step at a host must know of an image: enough to fetch, verify, convert and cache it."""

    id: str
    disk_format: str
    """The format of the stored bytes."""
    container_format: str
    subformat: str | None = None
    """What kind of VMDK or VHD the bytes are (`ImageForm.subformat`), as inspection found them."""
    size_bytes: int
    """Bytes as stored."""
    virtual_size_bytes: int
    """Bytes of the disk within."""
    sha512: str
    """Hex, over the bytes as stored."""
    min_disk_gib: int = 0
    properties: dict[str, str] = {}
