"""An image's data: uploaded to a queued image, and downloaded whole or in part."""

import re

from polyvisor.api.image.image_upload import Upload
from polyvisor.api.image.policies import target_of
from polyvisor.api.image.settings import ImageSettings
from polyvisor.api.kit import Call, Reply, Resource, StreamReply
from polyvisor.api.kit.errors import Failure, glance_form
from polyvisor.image.files import FileBackend
from polyvisor.model.errors import Forbidden, Invalid, TooLarge, Unsupported
from polyvisor.model.image import Image, ImageStatus

image_data = Resource("/images/{id}/file")

_MEDIA_TYPE = "application/octet-stream"
_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*")


@image_data.route("PUT", policy="upload_image", streams=True, checked_by_handler=True)
def upload(call: Call) -> Reply:
    """Take the data. The image is active once all of it is stored and found to be what it was declared to be."""
    _check_media_type(call)
    settings = call.part(ImageSettings)
    held = Upload(call.database, call.part(FileBackend), settings, call.new_id(), call.now)
    with call.database.write() as store:
        image = store.image.get(call.path["id"], project_id=call.owner)
        call.require("upload_image", target_of(image))
        _check_formats(image)
        _check_size(call, settings)
        held.begin(store, image)
    held.receive(call.stream)
    return Reply(204)


def _check_media_type(call: Call) -> None:
    given = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != _MEDIA_TYPE:
        raise Unsupported(f"Send the data of an image as {_MEDIA_TYPE}, not as '{given[:64]}'.")


def _check_formats(image: Image) -> None:
    missing = [name for name in ("disk_format", "container_format") if getattr(image, name) is None]
    if image.status is ImageStatus.QUEUED and missing:
        raise Invalid(f"Image {image.id} cannot take data before {' and '.join(missing)} is set: set it first.")


def _check_size(call: Call, settings: ImageSettings) -> None:
    declared = call.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > settings.max_size_bytes:
        raise TooLarge(f"The image is larger than the {settings.max_size_bytes} bytes allowed here.")


@image_data.route("GET", policy="download_image", checked_by_handler=True)
def download(call: Call) -> Reply | StreamReply:
    """The data, or the part of it that the header Range asks for; nothing (204) where none has been uploaded yet."""
    image = call.store.image.get(call.path["id"], project_id=call.owner)
    call.require("download_image", target_of(image, call.caller.project_id))
    if image.status is ImageStatus.DEACTIVATED and not call.is_admin:
        raise Forbidden(f"Image {image.id} is deactivated: its data cannot be downloaded until it is reactivated.")
    if image.status not in (ImageStatus.ACTIVE, ImageStatus.DEACTIVATED) or image.size_bytes is None:
        return Reply(204)
    size = image.size_bytes
    headers = {"Accept-Ranges": "bytes"}
    try:
        part = _part(call.headers.get("range", ""), size)
    except ValueError:
        return _beyond(call, size)
    if part is None:
        if image.checksum:
            headers["Content-MD5"] = image.checksum
        return StreamReply(200, call.part(FileBackend).open_range(image.id), headers, _MEDIA_TYPE, size)
    first, last = part
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    length = last - first + 1
    return StreamReply(206, call.part(FileBackend).open_range(image.id, first, length), headers, _MEDIA_TYPE, length)


def _part(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte that a Range header asks for; None = all (no header, one in another unit, or several
    ranges, which a server may answer in full). Raises ValueError where there are no such bytes."""
    found = _RANGE.fullmatch(header)
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        first, last = max(0, size - int(found[2])), size - 1
    else:
        first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
        if found[2] and int(found[2]) < first:
            return None
    if first > last:
        raise ValueError(header)
    return first, last


def _beyond(call: Call, size: int) -> Reply:
    sentence = f"The range asked for lies outside the image's {size} bytes."
    failure = Failure(status=416, sentence=sentence, request_id=call.request_id)
    return Reply(416, glance_form(failure), {"Content-Range": f"bytes */{size}"})
