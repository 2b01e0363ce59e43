"""What the image tests share."""

from pathlib import Path

import pytest

from tests.image import images


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partitioned raw disk of 32 MiB with 3 MiB of data; not to be changed."""
    return images.raw_disk(tmp_path_factory.mktemp("raw") / "disk.raw")


@pytest.fixture(scope="session")
def formats(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same disk in every format that qemu-img writes as one file; not to be changed."""
    folder = tmp_path_factory.mktemp("formats")
    return {
        name: images.written(raw, folder / f"{name}.img", driver, options)
        for name, (_, driver, options) in images.WRITTEN_BY_QEMU.items()
    }
