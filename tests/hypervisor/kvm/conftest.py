"""A libvirt host for each module of tests, and drivers on it."""

from collections.abc import Iterator

import pytest

from polyvisor.hypervisor.kvm.driver import KvmDriver
from polyvisor.model.image import ImageRef
from tests.hypervisor.conformance import Source, image_of
from tests.hypervisor.kvm.bed import KvmBed


@pytest.fixture(scope="module")
def bed() -> Iterator[KvmBed]:
    with KvmBed() as bed:
        yield bed


@pytest.fixture
def driver(bed: KvmBed) -> Iterator[KvmDriver]:
    driver = bed.connect(bed.recipe)
    assert isinstance(driver, KvmDriver)
    yield driver
    driver.close()


@pytest.fixture(scope="module")
def image(bed: KvmBed) -> ImageRef:
    return image_of(bed)


@pytest.fixture
def source(bed: KvmBed) -> Source:
    return Source(bed.image_file)
