"""A test vCenter, drivers connected to it, and a person who works in it."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.session import Session
from polyvisor.hypervisor.vsphere.settings import VsphereSettings
from testbed.vcenter import TestVcenter

from .kit import CLOUD, Person

Connect = Callable[..., VsphereDriver]
StartVcenter = Callable[..., TestVcenter]


@pytest.fixture
def start_vcenter() -> Iterator[StartVcenter]:
    """Starts test vCenters of any shape; ended with the test."""
    running: list[TestVcenter] = []

    def start(**options: Any) -> TestVcenter:
        vcenter = TestVcenter(**{"guests_die_with_me": True, **options})
        running.append(vcenter)
        return vcenter.__enter__()

    yield start
    for vcenter in running:
        vcenter.__exit__(None, None, None)


@pytest.fixture
def vcenter(start_vcenter: StartVcenter) -> TestVcenter:
    """One cluster of two ESXi hosts with one shared datastore."""
    return start_vcenter()


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Connects drivers: `connect(vcenter, place="vc1", cloud_id=..., state="...", **settings)`."""
    drivers: list[VsphereDriver] = []

    def connected(
        vcenter: TestVcenter, *, place: str = "vc1", cloud_id: str = CLOUD, state: str = "", **changes: Any
    ) -> VsphereDriver:
        state_dir = tmp_path / (state or f"state-{uuid.uuid4().hex[:8]}")
        driver = VsphereDriver(place, settings_for(vcenter, **changes), cloud_id, state_dir)
        drivers.append(driver)
        return driver

    yield connected
    for driver in drivers:
        driver.close()


def settings_for(vcenter: TestVcenter, **changes: Any) -> VsphereSettings:
    """Settings that trust this vCenter by its thumbprint, unless told otherwise."""
    trust = {} if {"ca_file", "insecure", "thumbprint"} & changes.keys() else {"thumbprint": vcenter.thumbprint_sha256}
    login = {"host": vcenter.host, "user": vcenter.user, "password": vcenter.password}
    given: dict[str, Any] = {**login, **trust, **changes}
    return msgspec.convert(given, VsphereSettings)


@pytest.fixture
def driver(vcenter: TestVcenter, connect: Connect) -> VsphereDriver:
    """Connected to `vcenter`."""
    return connect(vcenter)


@pytest.fixture
def person(vcenter: TestVcenter) -> Iterator[Person]:
    """Somebody else who works in `vcenter`."""
    session = Session(settings_for(vcenter))
    yield Person(session, vcenter)
    session.close()
