"""What a process that died in the middle of an upload or a deletion left behind, put right."""

from datetime import datetime

from polyvisor.image.backend import ImageBackend
from polyvisor.model.record import Record
from polyvisor.store.store import Store

_YOUNG_SECONDS = 3600.0


class Recovered(Record):
    """What was put right."""

    requeued: tuple[str, ...]
    """Images whose upload had died; they are queued again."""
    collected: tuple[str, ...]
    """Files without an image that were removed."""


def recover(store: Store, backend: ImageBackend, now: datetime, *, alone: bool = True) -> Recovered:
    """Queue images again whose upload died, and remove bytes that no image owns.

    `store` is a writing transaction. `alone`: no other process serves these images, so that every upload on record is
    dead (at the start of a cloud in one process); else those that have given no sign of life for long.
    """
    dead = store.image.dead_uploads(None if alone else now)
    for image_id, upload_id in dead:
        backend.delete(image_id)
        store.image.abandon_upload(upload_id, now)
    gone = backend.collect_stale(store.image.ids(), 0.0 if alone else _YOUNG_SECONDS)
    return Recovered(requeued=tuple(image_id for image_id, _ in dead), collected=tuple(gone))
