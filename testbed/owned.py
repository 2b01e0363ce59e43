"""Directories of a test bed that outlive a killed owner just until somebody makes the next one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from testbed.process import identity

FOLDER = Path("/tmp")


def make(prefix: str) -> Path:
    """A new directory that belongs to this process. Its path is short: a socket's name ends after 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=FOLDER))
    (directory / "owner").write_text(identity(os.getpid()))
    return directory


def leftovers(prefix: str) -> Iterator[Path]:
    """The directories of that prefix whose owner is gone: what they stand for is to be removed."""
    for directory in FOLDER.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            written = (directory / "owner").read_text()
            if written and written != identity(int(written.split()[0])):
                yield directory
