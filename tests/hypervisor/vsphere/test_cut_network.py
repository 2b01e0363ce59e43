"""A vCenter that is cut off by the network is noticed soon, though one that is merely slow is given its time."""

import time
from pathlib import Path

import pytest

from polyvisor.hypervisor.driver import Unreachable
from polyvisor.hypervisor.vsphere.driver import VsphereDriver
from polyvisor.hypervisor.vsphere.settings import VsphereSettings
from testbed.netns import OUTSIDE, Network
from testbed.vcenter import TestVcenter

CLOUD_ID = "5c3a8b9e-8f0b-4a3f-9d0c-2f0a4f6f7a10"
PATIENT_SECONDS = 600.0
SOON_SECONDS = 60.0
"""Six times what the kernel is told, for a loaded machine; a tenth of what a slow answer may take."""


def test_a_cut_network_is_noticed_long_before_a_slow_answer_would_be(tmp_path: Path) -> None:
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
            assert driver.hosts()
            network.partition(OUTSIDE, "vcenter")
            begun = time.monotonic()
            with pytest.raises(Unreachable):
                driver.guests()
            assert time.monotonic() - begun < SOON_SECONDS
            network.heal()
            assert driver.hosts()
        finally:
            driver.close()
