"""One upload, from the first byte to an active image, or to a queued one with nothing left of it."""

import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from polyvisor.api.image.image_fields import DISKTYPE
from polyvisor.api.image.settings import ImageSettings
from polyvisor.image.backend import ImageBackend, Stored
from polyvisor.image.errors import NoRoom
from polyvisor.image.inspect import Inspection, StreamInspector, inspect
from polyvisor.model.errors import Conflict
from polyvisor.model.image import Image
from polyvisor.model.image_format import ContainerFormat, DiskFormat
from polyvisor.store.database import Database
from polyvisor.store.store import Store

_SIGNS_OF_LIFE = 4
"""How often an upload tells that it goes on, in the time after which its silence would count as death."""
log = structlog.get_logger("polyvisor.image")


class Upload:
    """Holds an image in `saving` while its bytes come in. The bytes travel outside of any transaction."""

    def __init__(
        self, database: Database, backend: ImageBackend, settings: ImageSettings, upload_id: str, now: datetime
    ) -> None:
        self._database = database
        self._backend = backend
        self._limit_bytes = settings.max_size_bytes
        self._keep_free_bytes = settings.keep_free_bytes
        self._silence = timedelta(seconds=settings.upload_silence_seconds)
        self._id = upload_id
        self._began = now
        self._clock = time.monotonic()
        self._told = self._clock
        self._image: Image

    def begin(self, store: Store, image: Image) -> None:
        """Take hold of a queued image. Raises Conflict where it is not queued, or another upload was first."""
        self._image = image
        store.image.begin_upload(image, self._id, self._began + self._silence, self._began)

    def receive(self, chunks: Iterator[bytes]) -> None:
        """Store and inspect the bytes, and make the image active.

        Raises ImageRefused, ImageTooLarge, NoRoom, and Conflict where the image was deleted meanwhile. Whatever is
        raised, the image is queued again and nothing of the bytes is left.
        """
        try:
            stored, inspection = self._store(chunks)
            with self._database.write() as store:
                disktype = self._image.properties.get(DISKTYPE)
                changes = _found(store.image.get(self._image.id, to_change=True), disktype, stored, inspection)
                held = store.image.finish_upload(self._id, changes, self._now())
            if not held:
                raise _lost(self._image)
        except BaseException as error:
            self._give_up(error)
            raise

    def _store(self, chunks: Iterator[bytes]) -> tuple[Stored, Inspection]:
        image = self._image
        disk, container = DiskFormat(image.disk_format or ""), ContainerFormat(image.container_format or "")
        disktype = image.properties.get(DISKTYPE)
        inspector = StreamInspector(disk, container, vmware_disktype=disktype)
        with self._backend.writer(image.id, self._limit_bytes) as writer:
            for chunk in chunks:
                inspector.write(chunk)
                self._leave_room(writer.staged_path)
                writer.write(chunk)
                self._tell()
            inspector.finish()
            self._tell(after=0)
            inspection = inspect(writer.staged_path, disk, container, vmware_disktype=disktype)
            self._tell(after=0)
            return writer.commit(), inspection

    def _leave_room(self, staged: Path) -> None:
        """Raise NoRoom before the disk is so full that others on it, such as the database, cannot write."""
        disk = os.statvfs(staged)
        if disk.f_bavail * disk.f_frsize < self._keep_free_bytes:
            raise NoRoom("There is no room left to store the image; delete images that are not needed, or add space.")

    def _now(self) -> datetime:
        return self._began + timedelta(seconds=time.monotonic() - self._clock)

    def _tell(self, after: float | None = None) -> None:
        """Give a sign of life, unless the last one is younger than `after` seconds. Raises Conflict."""
        least = self._silence.total_seconds() / _SIGNS_OF_LIFE if after is None else after
        if time.monotonic() - self._told < least:
            return
        self._told = time.monotonic()
        with self._database.write() as store:
            if not store.image.renew_upload(self._id, self._now() + self._silence):
                raise _lost(self._image)

    def _give_up(self, error: BaseException) -> None:
        """Put things back as they were. What fails here, recover() does at the next start."""
        log.info("image_upload_failed", image_id=self._image.id, reason=str(error))
        try:
            with self._database.write() as store:
                self._put_back(store)
        except Exception as reason:  # noqa: BLE001 (the client is told why the upload failed, not this)
            log.warning("image_upload_not_put_back", image_id=self._image.id, reason=str(reason))

    def _put_back(self, store: Store) -> None:
        # As long as this upload holds the image no other one can begin, so that the bytes are this one's.
        if store.image.renew_upload(self._id, self._now() + self._silence):
            self._backend.delete(self._image.id)
            store.image.abandon_upload(self._id, self._now())
        elif self._image.id not in store.image.ids():
            self._backend.delete(self._image.id)


def _lost(image: Image) -> Conflict:
    return Conflict(f"Image {image.id} was deleted, or its upload declared dead, while its data came in.")


def _found(image: Image, disktype: str | None, stored: Stored, inspection: Inspection) -> dict[str, Any]:
    """What the record says of the bytes. What they say of themselves gives way to what the user set, except for the
    disk type (`disktype`: as they were inspected), which says how they are to be read."""
    hints = inspection.properties
    properties = {**hints, **image.properties}
    if truth := hints.get(DISKTYPE) or disktype:
        properties[DISKTYPE] = truth
    return {
        "size_bytes": stored.size_bytes,
        "virtual_size_bytes": inspection.virtual_size_bytes,
        "checksum": stored.checksum,
        "hash_algorithm": stored.os_hash_algo,
        "hash_value": stored.os_hash_value,
        "subformat": inspection.form.subformat,
        "properties": properties,
    }
