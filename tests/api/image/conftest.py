"""An Image service over files of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.api.image.service import service
from polyvisor.api.image.settings import ImageSettings
from polyvisor.image.files import FileBackend
from tests.api.cloud import ApiCloud
from tests.image import images


@pytest.fixture
def settings() -> ImageSettings:
    """The defaults; a module overrides this fixture for limits of its own."""
    return ImageSettings()


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    """Where the bytes are."""
    return FileBackend(tmp_path / "images")


@pytest.fixture
def cloud(tmp_path: Path, database_url: str, backend: FileBackend, settings: ImageSettings) -> Iterator[ApiCloud]:
    """The service, and callers of every kind."""
    with ApiCloud(tmp_path, [service], parts=[backend, settings], database_url=database_url) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partitioned raw disk of 32 MiB; not to be changed."""
    return images.raw_disk(tmp_path_factory.mktemp("raw") / "disk.raw")


@pytest.fixture(scope="session")
def formats(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same disk in every format that qemu-img writes as one file; not to be changed."""
    folder = tmp_path_factory.mktemp("formats")
    return {
        name: images.written(raw, folder / f"{name}.img", driver, options)
        for name, (_, driver, options) in images.WRITTEN_BY_QEMU.items()
    }
