"""What a request for servers may ask for, and the sentences for what it may not."""

import base64
import binascii
import ipaddress
import re
from typing import Annotated, Any

import msgspec

from polyvisor.api.kit import Call
from polyvisor.model.errors import Invalid

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^\S(.*\S)?$")]
Metadata = dict[
    Annotated[str, msgspec.Meta(min_length=1, max_length=255)], Annotated[str, msgspec.Meta(max_length=255)]
]
Count = Annotated[int, msgspec.Meta(ge=1)] | Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*$")]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^,/]*$")]
Boolean = bool | Annotated[str, msgspec.Meta(max_length=8)]
MOST_USER_DATA = 65_535


class NetworkAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the `networks`: a network (with an address of it), or a port."""

    uuid: str | None = None
    port: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `server` of a request at 2.1; later microversions add to it."""

    name: Name
    flavorRef: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | int
    imageRef: str | None = None
    key_name: str | None = None
    user_data: Annotated[str, msgspec.Meta(max_length=MOST_USER_DATA)] | None = None
    config_drive: Boolean | None = None
    metadata: Metadata = {}
    availability_zone: str | None = None
    networks: list[NetworkAsked] | str | None = None
    security_groups: list[dict[str, str]] | None = None
    min_count: Count = 1
    max_count: Count | None = None
    adminPass: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    accessIPv4: str = ""
    accessIPv6: str = ""
    disk_config: str = msgspec.field(default="MANUAL", name="OS-DCF:diskConfig")
    return_reservation_id: Boolean = False
    block_device_mapping: list[dict[str, Any]] | None = None
    block_device_mapping_v2: list[dict[str, Any]] | None = None
    personality: list[dict[str, str]] | None = None
    description: None = None
    tags: tuple[Tag, ...] = ()
    host: str | None = None
    hypervisor_hostname: str | None = None
    hostname: str | None = None
    trusted_image_certificates: list[str] | None = None


class AskedFrom219(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From 2.19: a description."""

    description: Annotated[str, msgspec.Meta(max_length=255)] | None = None  # type: ignore[assignment]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole body of a request at 2.1."""

    server: Asked
    hints: dict[str, Any] = msgspec.field(default={}, name="os:scheduler_hints")
    old_hints: dict[str, Any] = msgspec.field(default={}, name="OS-SCH-HNT:scheduler_hints")


class BodyFrom219(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole body of a request from 2.19 on."""

    server: AskedFrom219
    hints: dict[str, Any] = msgspec.field(default={}, name="os:scheduler_hints")
    old_hints: dict[str, Any] = msgspec.field(default={}, name="OS-SCH-HNT:scheduler_hints")


_SINCE = {
    "tags": (2, 52),
    "trusted_image_certificates": (2, 63),
    "host": (2, 74),
    "hypervisor_hostname": (2, 74),
    "hostname": (2, 90),
}


def check_offered(call: Call, asked: Asked) -> None:
    """Raise Invalid for what begins at a later microversion, or is not offered by this cloud."""
    for field, since in _SINCE.items():
        if call.version < since and getattr(asked, field):
            raise Invalid(
                f"The field 'server.{field}' is not known here. It begins at microversion {since[0]}.{since[1]}."
            )
    if asked.trusted_image_certificates:
        raise Invalid("Signed images are not offered by this cloud: leave 'trusted_image_certificates' out.")
    if asked.personality:
        raise Invalid("Files can no longer be injected by 'personality': give them through 'user_data'.")
    if asked.block_device_mapping or any(
        not _is_the_image(asked, each) for each in asked.block_device_mapping_v2 or ()
    ):
        raise Invalid("This cloud has no block storage yet: boot from an image, without a block device mapping.")
    if asked.disk_config not in ("AUTO", "MANUAL"):
        raise Invalid("The field 'server.OS-DCF:diskConfig' is invalid: AUTO or MANUAL is expected.")
    _check_networks(call, asked)
    _check_user_data(asked.user_data)


def _is_the_image(asked: Asked, mapping: dict[str, Any]) -> bool:
    """The mapping that clients send for "boot from this image's local copy"."""
    return (
        mapping.get("source_type") == "image"
        and mapping.get("destination_type") == "local"
        and str(mapping.get("boot_index")) == "0"
        and mapping.get("uuid") == asked.imageRef
    )


def _check_networks(call: Call, asked: Asked) -> None:
    networks = asked.networks
    if call.version >= (2, 37) and networks is None:
        raise Invalid("The field 'server.networks' is required: give \"none\", or a list of networks.")
    if isinstance(networks, str) and (call.version < (2, 37) or networks not in ("auto", "none")):
        raise Invalid('The field \'server.networks\' is invalid: "auto", "none" or a list of networks is expected.')
    for each in networks if isinstance(networks, list) else ():
        _check_network(call, each)


def _check_network(call: Call, asked: NetworkAsked) -> None:
    if asked.tag and not ((2, 32) <= call.version <= (2, 36) or call.version >= (2, 42)):
        raise Invalid("The field 'server.networks.tag' is not known here. It begins at microversion 2.42 (and 2.32).")
    if asked.tag and (len(asked.tag) > 60 or "/" in asked.tag or "," in asked.tag):
        raise Invalid("The field 'server.networks.tag' is invalid: at most 60 characters without ',' and '/'.")
    if not asked.uuid and not asked.port:
        raise Invalid("The field 'server.networks' is invalid: each network needs a 'uuid' or a 'port'.")
    if asked.fixed_ip and asked.port:
        raise Invalid(f"Specified Fixed IP '{asked.fixed_ip[:64]}' cannot be used with port '{asked.port[:64]}'.")
    if asked.fixed_ip:
        check_address(asked.fixed_ip)


def check_address(text: str) -> None:
    """Raise Invalid for what is no IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise Invalid(f"Invalid fixed IP address ({text[:64]}): an IPv4 or IPv6 address is expected.") from None


def _check_user_data(user_data: str | None) -> None:
    try:
        base64.b64decode(user_data or "", validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("The field 'server.user_data' is invalid: base64 is expected.") from None


def counts(asked: Asked) -> tuple[int, int]:
    """How many servers at least, and at most."""
    least = int(asked.min_count)
    most = int(asked.max_count) if asked.max_count is not None else least
    if least > most:
        raise Invalid("min_count must be <= max_count.")
    return least, most


_LABEL = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")


def checked_hostname(hostname: str, call: Call) -> str:
    """A host name that was asked for: one label, from 2.94 on several. Raises Invalid."""
    labels = hostname.split(".") if call.version >= (2, 94) else [hostname]
    if len(hostname) > 255 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Invalid("The field 'server.hostname' is invalid: letters, digits and hyphens are expected (RFC 1123).")
    return hostname


def hostname_of(name: str, id: str) -> str:
    """A host name (RFC 1123) made of a display name; of the id where nothing of the name is usable."""
    found = re.sub(r"[ _.]+", "-", name.encode("ascii", "ignore").decode().lower())
    found = re.sub(r"[^a-z0-9-]+", "", found).strip("-")[:63].rstrip("-")
    return found or f"server-{id}"


def truth(value: bool | str | None) -> bool:
    """A boolean as OpenStack's clients write it. Raises Invalid."""
    if isinstance(value, str):
        if value.lower() in ("1", "t", "true", "on", "y", "yes"):
            return True
        if value.lower() in ("", "0", "f", "false", "off", "n", "no"):
            return False
        raise Invalid(f"{value!r} is no boolean: write true or false.")
    return bool(value)
