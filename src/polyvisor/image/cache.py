"""Images made ready for one place (I3): fetched, verified, converted once however many ask, and kept until unused."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec

from polyvisor.image import staging
from polyvisor.image.convert import ConvertOptions, convert, virtual_size
from polyvisor.image.errors import ConversionCancelled, ImageBytesDamaged
from polyvisor.image.sparse import allocated_bytes, copy_window
from polyvisor.image.staging import Staging
from polyvisor.image.window import Window
from polyvisor.model.image import ImageRef
from polyvisor.model.image_format import DiskFormat, ImageForm, form_of
from polyvisor.model.record import Record

_NOTE = "entry.json"
_LOCKS = ".locks"
_POLL_SECONDS = 0.1
_DIGEST_IN_NAME = 16

Fetch = Callable[[Path], None]
"""Writes an image's stored bytes to a path that does not exist yet."""


class CachedImage(Record):
    """An image made ready. The file is to be read only: guests use it as a backing file."""

    image_id: str
    sha512: str
    """Of the bytes as stored, not of this file."""
    form: ImageForm
    path: Path
    virtual_size_bytes: int
    allocated_bytes: int
    last_used: float
    """Seconds since the epoch."""


class _Note(Record):
    """What is written beside the file."""

    image_id: str
    sha512: str
    form: ImageForm
    virtual_size_bytes: int


class ImageCache:
    """The ready images in `directory`: a folder each, which appears whole by one rename. Threads and processes may
    share it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / _LOCKS).mkdir(parents=True, exist_ok=True)

    def get(
        self,
        image: ImageRef,
        wanted: ImageForm,
        fetch: Fetch,
        *,
        local: Path | None = None,
        options: ConvertOptions | None = None,
        progress: Callable[[float], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> CachedImage:
        """The image in the wanted form (as `form_for` gives it), made now if it is not here yet. `local` is the stored
        file where it lies on this machine: then nothing is fetched. What `fetch` or `progress` raise goes through.
        Raises ImageBytesDamaged, NoRoom, ConversionFailed, ConversionCancelled."""
        options = options or ConvertOptions()
        key = _key(image, wanted, options)
        if found := self._load(key, touch=True):
            return found
        with self._lock(key, progress, cancel):
            if found := self._load(key, touch=True):
                return found
            with staging.no_room("make the image ready"), Staging(self._directory) as place:
                entry = place.path / "entry"
                entry.mkdir()
                # QEMU reads it as a user of its own, whatever our umask is.
                entry.chmod(0o755)
                source = local or _fetched(place.path / "source", fetch)
                _verify(source, image)
                self._make(source, image, wanted, entry, options, progress, cancel)
                if (unreadable := self._directory / key).exists():
                    unreadable.rename(place.path / "unreadable")
                place.commit(entry, self._directory / key)
            # Still under the lock, so that no eviction comes between.
            made = self._load(key, touch=True)
        if made is None:
            raise ImageBytesDamaged(f"Image {image.id} was made ready and has vanished; look after the disk it lay on.")
        return made

    def _make(
        self,
        source: Path,
        image: ImageRef,
        wanted: ImageForm,
        entry: Path,
        options: ConvertOptions,
        progress: Callable[[float], None] | None,
        cancel: threading.Event | None,
    ) -> None:
        stored = form_of(image.disk_format, image.container_format, image.properties, image.subformat)
        disk = entry / f"disk.{wanted.disk_format}"
        if stored != wanted:
            size = convert(source, stored, disk, wanted, options, progress=progress, cancel=cancel).virtual_size_bytes
        else:
            # A fetcher may have linked a file that others use too.
            if source.parent == entry.parent and source.stat().st_nlink == 1:
                source.rename(disk)
            else:
                _copy(source, disk)
            disk.chmod(0o644)
            size = virtual_size(disk, wanted)
        note = _Note(image_id=image.id, sha512=image.sha512, form=wanted, virtual_size_bytes=size)
        (entry / _NOTE).write_bytes(msgspec.json.encode(note))

    def peek(self, image: ImageRef, wanted: ImageForm, options: ConvertOptions | None = None) -> CachedImage | None:
        """The image in the wanted form if it is ready; this does not count as a use."""
        return self._load(_key(image, wanted, options or ConvertOptions()), touch=False)

    def entries(self) -> list[CachedImage]:
        """All that is ready, least recently used first."""
        found = [self._load(folder.name, touch=False) for folder in self._directory.iterdir() if folder.name[0] != "."]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.last_used)

    def evict(
        self,
        now: float,
        *,
        unused_since: float | None = None,
        limit_bytes: int | None = None,
        in_use: Collection[Path] = (),
        grace_seconds: float = 600,
    ) -> list[str]:
        """Remove what was last used before `unused_since`, and then the least recently used until no more than
        `limit_bytes` are allocated. Never what is in `in_use` (the backing files of guests), nor what was used within
        `grace_seconds` (a guest may be in the making on it). Returns the ids of the images removed."""
        entries = self.entries()
        total = sum(entry.allocated_bytes for entry in entries)
        gone = []
        for entry in entries:
            old = unused_since is not None and entry.last_used < unused_since
            over = limit_bytes is not None and total > limit_bytes
            spared = entry.path in in_use or entry.last_used > now - grace_seconds
            if (old or over) and not spared and self._remove(entry.path.parent):
                total -= entry.allocated_bytes
                gone.append(entry.image_id)
        return gone

    def forget(self, image_id: str, in_use: Collection[Path] = ()) -> bool:
        """Remove every form of one image but those in use; True when none is left."""
        mine = [entry for entry in self.entries() if entry.image_id == image_id]
        return all(entry.path not in in_use and self._remove(entry.path.parent) for entry in mine)

    def collect_stale(self) -> list[str]:
        """Remove what killed runs left behind."""
        return staging.collect_stale(self._directory)

    def _load(self, key: str, *, touch: bool) -> CachedImage | None:
        note_path = self._directory / key / _NOTE
        try:
            note = msgspec.json.decode(note_path.read_bytes(), type=_Note)
            if touch:
                os.utime(note_path)
            path = self._directory / key / f"disk.{note.form.disk_format}"
            return CachedImage(
                image_id=note.image_id,
                sha512=note.sha512,
                form=note.form,
                path=path,
                virtual_size_bytes=note.virtual_size_bytes,
                allocated_bytes=allocated_bytes(path),
                last_used=note_path.stat().st_mtime,
            )
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return None

    def _remove(self, folder: Path) -> bool:
        """Remove an entry that nobody is just making; False when somebody is."""
        lock_path = self._directory / _LOCKS / folder.name
        with staging.lock(lock_path) as held:
            if not held:
                return False
            with Staging(self._directory) as place, contextlib.suppress(FileNotFoundError):
                # One rename takes it away; what is slow happens out of sight.
                folder.rename(place.path / "gone")
            lock_path.unlink(missing_ok=True)
        return True

    @contextlib.contextmanager
    def _lock(
        self, key: str, progress: Callable[[float], None] | None, cancel: threading.Event | None
    ) -> Iterator[None]:
        """Wait until nobody else makes the same thing. A waiting caller can be stopped through `progress` and
        `cancel`."""
        path = self._directory / _LOCKS / key
        told = time.monotonic()
        while True:
            with staging.lock(path) as held:
                if held:
                    yield
                    return
            if cancel is not None and cancel.is_set():
                raise ConversionCancelled("The conversion was stopped.")
            if progress is not None and time.monotonic() - told > 1:
                told = time.monotonic()
                progress(0.0)
            time.sleep(_POLL_SECONDS)


def _key(image: ImageRef, wanted: ImageForm, options: ConvertOptions) -> str:
    """The entry's name: image, the first digits of its checksum, form, and the options that change the bytes."""
    parts = [image.id, image.sha512[:_DIGEST_IN_NAME], wanted.name]
    if wanted.disk_format is DiskFormat.VMDK:
        parts.append(options.vmdk_adapter)
        parts += [f"v{options.hardware_version}"] if options.hardware_version else []
    key = ".".join(parts)
    if "/" in key or key.startswith("."):
        raise ValueError(f"{image.id!r} is no image id")
    return key


def _fetched(path: Path, fetch: Fetch) -> Path:
    fetch(path)
    return path


def _verify(source: Path, image: ImageRef) -> None:
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        window = Window.of_file(descriptor)
        if window.size != image.size_bytes or window.digest("sha512") != image.sha512:
            raise ImageBytesDamaged(
                f"The bytes of image {image.id} are not those uploaded: their SHA-512 differs; upload it again."
            )
    finally:
        os.close(descriptor)


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        copy_window(Window.of_file(descriptor), target)
    finally:
        os.close(descriptor)
