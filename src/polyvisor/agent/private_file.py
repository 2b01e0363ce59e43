"""Files that only we may read, written whole or not at all."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file in one step, readable by its owner only; `durable`: a loss of power does not undo it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(f".{path.name}.new")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        if durable:
            out.flush()
            os.fsync(out.fileno())
    staged.replace(path)
