"""The guest image starts on the hardware that our hypervisors offer, and says the truth about its cloud."""

import base64
import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.guest import GuestImage, build

START_TIMEOUT_SECONDS = 150
KEY_BYTES = b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))
KEY = f"ssh-ed25519 {base64.b64encode(KEY_BYTES).decode()} ada@example"
SERVER_ID = "6f8f6c2c-91a4-4c53-9a3e-0f6c57e0a001"

CONFIG_DRIVE_CDROM = ["-drive", "file={drive},format=raw,media=cdrom,if=none,id=cfg"]
HARDWARE = {
    "virtio": ["-M", "q35", "-drive", "file={disk},if=virtio", *CONFIG_DRIVE_CDROM, "-device", "ide-cd,drive=cfg"],
    "virtio-scsi": [
        *("-M", "q35", "-device", "virtio-scsi-pci,id=scsi", "-drive", "file={disk},if=none,id=disk"),
        *("-device", "scsi-hd,bus=scsi.0,drive=disk", *CONFIG_DRIVE_CDROM, "-device", "scsi-cd,bus=scsi.0,drive=cfg"),
        *("-nic", "user,model=virtio"),
    ],
    "pvscsi and vmxnet3": [
        *("-M", "pc", "-device", "pvscsi,id=scsi", "-drive", "file={disk},if=none,id=disk"),
        *("-device", "scsi-hd,bus=scsi.0,drive=disk", *CONFIG_DRIVE_CDROM, "-device", "ide-cd,drive=cfg"),
        *("-nic", "user,model=vmxnet3"),
    ],
    "LSI Logic SAS and e1000": [
        *("-M", "pc", "-device", "mptsas1068,id=scsi", "-drive", "file={disk},if=none,id=disk"),
        *("-device", "scsi-hd,bus=scsi.0,drive=disk", *CONFIG_DRIVE_CDROM, "-device", "ide-cd,drive=cfg"),
        *("-nic", "user,model=e1000"),
    ],
    "IDE": ["-M", "pc", "-drive", "file={disk},if=ide", *CONFIG_DRIVE_CDROM, "-device", "ide-cd,drive=cfg"],
    "UEFI": [
        *("-M", "q35", "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"),
        *("-drive", "file={disk},if=virtio", "-drive", "file={drive},format=raw,if=virtio,readonly=on"),
        *("-m", "192"),
    ],
}


@pytest.fixture(scope="session")
def image() -> GuestImage:
    return build()


@pytest.fixture
def config_drive(tmp_path: Path) -> Path:
    """The ISO that Nova would make for a server named `web-1` with Ada's key and a script."""
    folder = tmp_path / "config/openstack/latest"
    folder.mkdir(parents=True)
    document = {
        "uuid": SERVER_ID,
        "hostname": "web-1",
        "name": "Web 1",
        "public_keys": {"ada": KEY + "\n"},
        "keys": [{"name": "ada", "type": "ssh", "data": KEY}],
    }
    (folder / "meta_data.json").write_text(json.dumps(document))
    (folder / "user_data").write_text("#!/bin/sh\necho the script ran as $(id -un)\nexit 7\n")
    drive = tmp_path / "config.iso"
    options = ["-quiet", "-V", "config-2", "-J", "-r"]
    subprocess.run(["genisoimage", *options, "-o", drive, tmp_path / "config"], check=True)
    return drive


@dataclass
class Guest:
    """A running guest: its process, its serial log and QEMU's monitor on standard input."""

    process: subprocess.Popen[str]
    console: Path

    def wait_for(self, mark: str) -> str:
        """The console log once `mark` is in it."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while mark not in (log := self.console.read_text(errors="replace") if self.console.exists() else ""):
            assert time.monotonic() < deadline, f"no {mark!r} in time; the console says: {log[-2000:]}"
            assert self.process.poll() is None, f"QEMU ended; the console says: {log[-2000:]}"
            time.sleep(0.2)
        return log

    def ready(self) -> dict[str, str]:
        """What the last line of the start says, name to value."""
        self.wait_for("CLOUD-READY")
        line = re.search(r"CLOUD-READY (.*) up=[\d.]+\s*\Z", self.wait_for(" up="))
        assert line, f"the log does not end with the line: {self.console.read_text()[-500:]!r}"
        return dict(part.split("=", 1) for part in line[1].split())


@contextmanager
def boot(image: GuestImage, folder: Path, hardware: list[str], **files: Path) -> Iterator[Guest]:
    disk, console = folder / "disk.qcow2", folder / "console.log"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image.qcow2, disk], check=True)
    arguments = [part.format(disk=disk, **files) for part in hardware]
    command = ["qemu-system-x86_64", "-m", "128", "-display", "none", "-monitor", "stdio", *arguments]
    if "-nic" not in arguments:
        command += ["-nic", "none"]
    command += ["-serial", f"file:{console}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            yield Guest(process, console)
        finally:
            process.kill()


@pytest.mark.parametrize("hardware", HARDWARE.values(), ids=HARDWARE)
def test_a_guest_starts_and_names_its_server_and_key(
    image: GuestImage, tmp_path: Path, config_drive: Path, hardware: list[str]
) -> None:
    digest = hashlib.md5(KEY_BYTES).hexdigest()
    with boot(image, tmp_path, hardware, drive=config_drive) as guest:
        ready = guest.ready()
        assert ready["host"] == "web-1"
        assert ready["uuid"] == SERVER_ID
        assert ready["src"] == "configdrive"
        assert ready["keys"] == "1"
        assert ready["key"] == ":".join(re.findall("..", digest))
        assert ready["ip"] == ("eth0=10.0.2.15/24" if "-nic" in hardware else "none")
        assert ready["userdata"] == "7"
        assert "the script ran as root" in guest.console.read_text()


def test_a_guest_of_no_cloud_says_so_and_obeys_the_power_button(image: GuestImage, tmp_path: Path) -> None:
    with boot(image, tmp_path, ["-M", "q35", "-drive", "file={disk},if=virtio"]) as guest:
        ready = guest.ready()
        assert (ready["src"], ready["uuid"], ready["keys"], ready["key"]) == ("none", "none", "0", "none")
        assert guest.process.stdin is not None
        guest.process.stdin.write("system_powerdown\n")
        guest.process.stdin.flush()
        assert guest.process.wait(START_TIMEOUT_SECONDS) == 0


def test_the_vmdk_holds_the_same_disk_and_is_stream_optimized(image: GuestImage) -> None:
    subprocess.run(["qemu-img", "compare", "-q", image.qcow2, image.vmdk], check=True)
    described = subprocess.run(["qemu-img", "info", "--output=json", image.vmdk], check=True, capture_output=True)
    assert json.loads(described.stdout)["format-specific"]["data"]["create-type"] == "streamOptimized"


def test_an_image_is_built_once(image: GuestImage) -> None:
    made = image.qcow2.stat()
    assert build() == image
    assert (image.qcow2.stat().st_ino, image.qcow2.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
