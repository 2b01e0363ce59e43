"""A vCenter that is cut off by the network is noticed soon, though one that is merely slow is given its time."""

import time
from pathlib import Path

import pytest

from polyvisor.hypervisor.driver import Unreachable
from polyvisor.hypervisor.vsphere import tls
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.settings import VsphereSettings
from testbed.netns import OUTSIDE, Network
from testbed.vcenter import TestVcenter

from .kit import eventually

CLOUD_ID = "5c3a8b9e-8f0b-4a3f-9d0c-2f0a4f6f7a10"
PATIENT_SECONDS = 600.0
SOON_SECONDS = 180.0
"""Many times what the kernel is told, for a loaded machine; less than a third of what a slow answer may take."""


def test_a_cut_network_is_noticed_long_before_a_slow_answer_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tls.SILENT_SECONDS == 10
    monkeypatch.setattr(tls, "SILENT_SECONDS", 4)
    with (
        Network("vcenter") as network,
        TestVcenter(
            tmp_path / "vcenter", namespace=network.namespace("vcenter"), listen=f"{network.address('vcenter')}:8443"
        ) as vcenter,
    ):
        settings = VsphereSettings(
            host=vcenter.host, user=vcenter.user, password=vcenter.password, thumbprint=vcenter.thumbprint_sha256,
            timeout_seconds=PATIENT_SECONDS,
        )  # fmt: skip
        driver = VsphereDriver("vc-1", settings, CLOUD_ID, tmp_path / "state")
        try:
            assert eventually(lambda: found(driver), bool)
            network.partition(OUTSIDE, "vcenter")
            begun = time.monotonic()
            with pytest.raises(Unreachable):
                driver.guests()
            assert time.monotonic() - begun < SOON_SECONDS
            network.heal()
            assert eventually(lambda: found(driver), bool)
        finally:
            driver.close()


def found(driver: VsphereDriver) -> list[str]:
    """The hosts' names; none while it does not answer."""
    try:
        return [host.name for host in driver.hosts()]
    except Unreachable:
        return []
