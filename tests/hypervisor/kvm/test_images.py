"""The image cache of a KVM host, where it can be tried without libvirt."""

from pathlib import Path

import msgspec
import pytest

from polyvisor.hypervisor.driver import Cancelled, HypervisorError
from polyvisor.hypervisor.kvm.images import Images
from polyvisor.image.cache import CachedImage
from polyvisor.model.host import HypervisorType
from polyvisor.model.image import ImageRef
from tests.hypervisor.conformance import Source, no_progress
from tests.hypervisor.kvm.test_driver import image_ref


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "disk.raw"
    file.write_bytes(b"disk" * 1024)
    return file


@pytest.fixture
def image(file: Path) -> ImageRef:
    return image_ref(file, "raw", file.stat().st_size)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path / "cache", tmp_path / "instances")


def test_bytes_that_are_not_those_uploaded_are_refused(images: Images, image: ImageRef, file: Path) -> None:
    file.write_bytes(b"evil" * 1024)
    with pytest.raises(HypervisorError, match="SHA-512"):
        images.ready(image, HypervisorType.KVM, Source(file), no_progress)
    assert images.cached() == frozenset()


def test_an_image_that_cannot_be_fetched_is_said_in_a_sentence(images: Images, image: ImageRef, tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="could not be fetched"):
        images.ready(image, HypervisorType.KVM, Source(tmp_path / "none"), no_progress)


def test_an_operation_that_is_stopped_stops_here(images: Images, file: Path, tmp_path: Path) -> None:
    import subprocess

    disk = tmp_path / "disk.vmdk"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", file, disk], check=True)

    def stop(fraction: float, what: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        images.ready(image_ref(disk, "vmdk", 4096), HypervisorType.QEMU, Source(disk), stop)
    assert images.cached() == frozenset()


@pytest.mark.parametrize("disk_format", ["aki", "ari"])
def test_a_bare_kernel_is_no_disk(images: Images, image: ImageRef, file: Path, disk_format: str) -> None:
    kernel = msgspec.structs.replace(image, disk_format=disk_format, container_format=disk_format)
    with pytest.raises(HypervisorError, match="kernel"):
        images.ready(kernel, HypervisorType.KVM, Source(file), no_progress)


def test_a_cached_image_can_be_read_by_qemu(images: Images, image: ImageRef, file: Path, tmp_path: Path) -> None:
    images.ready(image, HypervisorType.KVM, Source(file), no_progress)
    taken: list[CachedImage] = []
    images.take(image, HypervisorType.KVM, taken.append)
    assert taken[0].path.read_bytes() == file.read_bytes()
    assert taken[0].path.stat().st_mode & 0o777 == 0o644
    assert taken[0].path.parent.stat().st_mode & 0o777 == 0o711
