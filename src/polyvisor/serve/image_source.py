"""Where steps in this process get image bytes: straight from the image store's files."""

import os
import shutil
from pathlib import Path

from polyvisor.image.files import FileBackend
from polyvisor.model.image import ImageRef


class LocalImageSource:
    """Reads the files of the image store."""

    def __init__(self, backend: FileBackend) -> None:
        self._backend = backend

    def local(self, image: ImageRef) -> Path | None:
        """The stored file itself."""
        path = self._backend.path(image.id)
        return path if path.exists() else None

    def fetch(self, image: ImageRef, target: Path) -> None:
        """A link where the file system allows it, else a copy. Raises OSError."""
        source = self._backend.path(image.id)
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source, target)
