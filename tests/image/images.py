"""Real images to inspect and convert: made by qemu-img and tar, honest and otherwise."""

import hashlib
import io
import os
import random
import subprocess
import tarfile
from pathlib import Path

from polyvisor.model.image_format import DiskFormat

MIB = 1 << 20

WRITTEN_BY_QEMU = {
    "qcow2": (DiskFormat.QCOW2, "qcow2", ""),
    "qcow2-v2": (DiskFormat.QCOW2, "qcow2", "compat=0.10"),
    "qcow2-extended-l2": (DiskFormat.QCOW2, "qcow2", "extended_l2=on,cluster_size=128k"),
    "qcow2-zstd": (DiskFormat.QCOW2, "qcow2", "compression_type=zstd"),
    "qcow2-2M-clusters": (DiskFormat.QCOW2, "qcow2", "cluster_size=2M"),
    "vmdk-sparse": (DiskFormat.VMDK, "vmdk", "subformat=monolithicSparse"),
    "vmdk-stream": (DiskFormat.VMDK, "vmdk", "subformat=streamOptimized,adapter_type=lsilogic"),
    "vhd-dynamic": (DiskFormat.VHD, "vpc", "subformat=dynamic"),
    "vhd-fixed": (DiskFormat.VHD, "vpc", "subformat=fixed"),
    "vhdx-dynamic": (DiskFormat.VHDX, "vhdx", "subformat=dynamic"),
    "vhdx-fixed": (DiskFormat.VHDX, "vhdx", "subformat=fixed"),
    "vdi": (DiskFormat.VDI, "vdi", ""),
}
"""Name → declared format, QEMU's driver, options."""


def qemu_img(*arguments: str | Path) -> str:
    """Run qemu-img, without any limit."""
    done = subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True)
    return done.stdout


def raw_disk(path: Path, size: int = 32 * MIB, *, data: dict[int, int] | None = None, seed: int = 1) -> Path:
    """A raw disk with an MBR, and random data where `data` says: offset → length. The rest is a hole."""
    numbers = random.Random(seed)
    with path.open("wb") as file:
        file.truncate(size)
        file.write(mbr())
        for offset, length in (data if data is not None else {5 * MIB: 2 * MIB, 20 * MIB: MIB}).items():
            file.seek(offset)
            file.write(numbers.randbytes(length))
    return path


def mbr() -> bytes:
    """A sector with one Linux partition."""
    entry = bytes([0x80, 0, 2, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def written(source: Path, target: Path, driver: str, options: str = "") -> Path:
    """A raw disk in another format."""
    qemu_img("convert", "-f", "raw", "-O", driver, *(["-o", options] if options else []), source, target)
    return target


def same_disk(one: Path, one_driver: str, other: Path, other_driver: str) -> bool:
    """Whether a guest would see the same bytes; zeros at the end of the longer one do not count."""
    done = subprocess.run(
        ["qemu-img", "compare", "-f", one_driver, "-F", other_driver, str(one), str(other)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def iso(path: Path, *, blocks: int = 64, hybrid: bool = False) -> Path:
    """The least that counts as an ISO 9660: a primary volume descriptor and its end."""
    image = bytearray(blocks * 2048)
    primary = bytearray(2048)
    primary[:7] = b"\x01CD001\x01"
    primary[80:88] = blocks.to_bytes(4, "little") + blocks.to_bytes(4, "big")
    primary[128:132] = (2048).to_bytes(2, "little") + (2048).to_bytes(2, "big")
    image[16 * 2048 : 17 * 2048] = primary
    image[17 * 2048 : 17 * 2048 + 7] = b"\xffCD001\x01"
    if hybrid:
        image[:512] = mbr()
    path.write_bytes(image)
    return path


def patched(path: Path, offset: int, data: bytes) -> Path:
    """The same file with some bytes overwritten."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


def ovf(disk: str = "disk.vmdk", *, disks: int = 1, file_extra: str = "", disk_extra: str = "") -> bytes:
    """An OVF as vSphere exports it, with `disks` disks that are all the same file."""
    listed = "".join(
        f'<Disk ovf:capacity="32" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk{n}" ovf:fileRef="file1" '
        f'ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" {disk_extra}/>'
        for n in range(1, disks + 1)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References><File ovf:href="{disk}" ovf:id="file1" {file_extra}/></References>
  <DiskSection><Info>Disks</Info>{listed}</DiskSection>
  <VirtualSystem ovf:id="vm">
    <Info>A machine</Info>
    <OperatingSystemSection ovf:id="96" vmw:osType="debian10_64Guest"><Info>OS</Info></OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <Item><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
      <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>9</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
""".encode()


def manifest(files: dict[str, bytes], algorithm: str = "SHA256") -> bytes:
    """The digests of an OVA's files."""
    lines = [f"{algorithm}({name})= {hashlib.new(algorithm, data).hexdigest()}\n" for name, data in files.items()]
    return "".join(lines).encode()


def ova(path: Path, files: dict[str, bytes], *, form: int = tarfile.USTAR_FORMAT) -> Path:
    """A tar of these files, in this order."""
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def ova_of(path: Path, disk: Path, *, algorithm: str = "SHA256") -> Path:
    """An honest OVA around a VMDK."""
    files = {"vm.ovf": ovf(), "disk.vmdk": disk.read_bytes()}
    return ova(path, {"vm.ovf": files["vm.ovf"], "vm.mf": manifest(files, algorithm), "disk.vmdk": files["disk.vmdk"]})


def truncated(path: Path, part: float) -> Path:
    """The first part of a file."""
    os.truncate(path, int(path.stat().st_size * part))
    return path
