"""Marks on storage for guests' files, by which hosts find out whether they share it.

Whoever comes first writes a random id into the directory, and every host leaves its name beside it. Hosts that read the
same id, and each other's names, reach the same files. A copy of the directory bears the id too, but not the names that
were added to the other one since.
"""

import os
import tempfile
import uuid
from pathlib import Path

import msgspec

from polyvisor.model.host import Datastore

_FOLDER = ".storage"
_ID = "id"
_HOST = "host-"


def marked(datastore: Datastore, directory: Path, host: str) -> Datastore:
    """The datastore that this directory lies on, with its id and the names found there, the host's own left as well.

    Where nothing can be written or read it stays without: it then counts as not shared.
    """
    folder = directory / _FOLDER
    try:
        folder.mkdir(mode=0o711, exist_ok=True)
        id = _read_or_make(folder)
        mark = folder / f"{_HOST}{host}"
        if not mark.exists():
            mark.touch(mode=0o644)
        names = frozenset(each.name.removeprefix(_HOST) for each in folder.iterdir() if each.name.startswith(_HOST))
    except (OSError, ValueError):
        return datastore
    return msgspec.structs.replace(datastore, id=id, marks=names)


def _read_or_make(folder: Path) -> str:
    """The storage's id. It appears whole, once, whoever else makes one at the same moment (also over NFS)."""
    path = folder / _ID
    if not path.exists():
        descriptor, temporary = tempfile.mkstemp(dir=folder)
        try:
            os.write(descriptor, str(uuid.uuid4()).encode())
            os.fsync(descriptor)
            os.fchmod(descriptor, 0o644)
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            os.close(descriptor)
            Path(temporary).unlink(missing_ok=True)
    return str(uuid.UUID(path.read_text().strip()))
