"""The demonstration, as a newcomer runs it: both hypervisors, real guests, the unmodified client, and nothing left."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 1500


@pytest.mark.timeout(PATIENCE_SECONDS + 60)
@pytest.mark.xdist_group("demo")
def test_the_demonstration_shows_what_it_says() -> None:
    """It fails by itself on a wrong host, a console log without its last line, or anything left behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demo"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.terminate()  # it removes all that it started
        process.wait(120)
    assert process.returncode == 0, printed[-5000:]
    for name in ("on-kvm", "on-vsphere", "anywhere-on-vmware", "anywhere-on-(qemu|kvm)"):
        assert re.search(rf"^CLOUD-READY host={name} uuid=\S+ src=configdrive keys=1 ", printed, re.MULTILINE), name
    assert "Nothing of the servers is left in libvirt, in vCenter, or on disk." in printed
