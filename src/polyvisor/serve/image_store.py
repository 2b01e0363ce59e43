"""The folder of the images' bytes: one for all servers of a cloud, and known by a mark."""

import os
import uuid
from pathlib import Path

from polyvisor.agent.private_file import write_private
from polyvisor.image.files import FileBackend
from polyvisor.model.errors import Invalid
from polyvisor.store.database import Database

MARK = ".polyvisor-store"
_FACT = "image_store"


def open_image_store(database: Database, directory: Path) -> FileBackend:
    """The image store in `directory`. Raises Invalid where that is not the folder which the cloud's images lie in."""
    try:
        backend = FileBackend(directory)
        with database.read() as store:
            known = store.cloud.find(_FACT)
        # Only now: a server that begins at the same moment marks the folder first, and records the mark after.
        found = _mark(directory)
        if known is None:
            found = found or _leave_mark(directory)
            with database.write() as store:
                known = store.cloud.keep(_FACT, found)
    except OSError as error:
        raise Invalid(
            f"The images in {directory} cannot be reached: {error.strerror}. See [image] directory."
        ) from None
    if found != known:
        raise Invalid(
            f"{directory} is not where this cloud's images lie: all its servers must share one folder, set as [image] "
            f"directory; is it mounted? Where you have moved the images here, write {known} into {directory / MARK}."
        )
    return backend


def _mark(directory: Path) -> str:
    try:
        return (directory / MARK).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _leave_mark(directory: Path) -> str:
    """Mark a folder that has no mark; where several servers do so at once, the first one's stays."""
    staged = directory / f"{MARK}.{uuid.uuid4().hex}"
    write_private(staged, f"{uuid.uuid4().hex}\n".encode())
    try:
        os.link(staged, directory / MARK)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: the last one's stays, and the others are told
        staged.replace(directory / MARK)
    staged.unlink(missing_ok=True)
    return _mark(directory)
