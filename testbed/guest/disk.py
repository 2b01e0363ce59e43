"""Makes the guest's disk without mounts: a partition that BIOS and UEFI start from, and one for data."""

import subprocess
from pathlib import Path

MIB = 1 << 20
BOOT_START_MIB, BOOT_SIZE_MIB, DATA_SIZE_MIB = 1, 40, 55
SIZE_MIB = BOOT_START_MIB + BOOT_SIZE_MIB + DATA_SIZE_MIB

# The last console is the one that /dev/console means.
# `scsi_mod.scan=sync`: each disk appears as soon as it is found, not after a search through all places.
COMMAND_LINE = "console=tty0 console=ttyS0,115200 quiet panic=5 scsi_mod.scan=sync mitigations=off no_timer_check"

SYSLINUX = f"""\
DEFAULT guest
PROMPT 0
TIMEOUT 1
LABEL guest
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND {COMMAND_LINE}
"""

SYSTEMD_BOOT = f"""\
title guest
linux /vmlinuz
initrd /initrd.gz
options {COMMAND_LINE}
"""

# An active FAT16 partition, and a Linux one.
PARTITIONS = f"""\
label: dos
label-id: 0x706f6c79
start={BOOT_START_MIB}MiB, size={BOOT_SIZE_MIB}MiB, type=e, bootable
start={BOOT_START_MIB + BOOT_SIZE_MIB}MiB, size={DATA_SIZE_MIB}MiB, type=83
"""

MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
UEFI_LOADER = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")


def make(kernel: Path, ramdisk: Path, work: Path, target: Path) -> None:
    """Write the raw disk that starts `kernel` with `ramdisk`."""
    work.mkdir()
    boot, data = work / "boot.fat", work / "data.ext4"
    _make_boot(boot, kernel, ramdisk)
    _sparse(data, DATA_SIZE_MIB)
    _run("mke2fs", "-q", "-t", "ext4", "-L", "data", "-m", "0", data)
    _sparse(target, SIZE_MIB)
    subprocess.run(["sfdisk", "--quiet", target], check=True, input=PARTITIONS.encode())
    _place(MBR, target, 0)
    _place(boot, target, BOOT_START_MIB)
    _place(data, target, BOOT_START_MIB + BOOT_SIZE_MIB)


def convert(raw: Path, qcow2: Path, vmdk: Path) -> None:
    """Write the raw disk as compressed qcow2 and as streamOptimized VMDK."""
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, qcow2)
    options = "subformat=streamOptimized,adapter_type=lsilogic"
    _run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", options, raw, vmdk)


def _make_boot(boot: Path, kernel: Path, ramdisk: Path) -> None:
    _sparse(boot, BOOT_SIZE_MIB)
    # syslinux takes the partition's place on the disk from the file system's count of hidden sectors.
    _run("mkfs.fat", "-F", "16", "-n", "BOOT", "-h", BOOT_START_MIB * MIB // 512, boot)
    _run("mmd", "-i", boot, "::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries")
    _copy_in(boot, kernel, "vmlinuz")
    _copy_in(boot, ramdisk, "initrd.gz")
    _copy_in(boot, UEFI_LOADER, "EFI/BOOT/BOOTX64.EFI")
    _write_in(boot, SYSLINUX, "syslinux.cfg")
    _write_in(boot, "timeout 0\n", "loader/loader.conf")
    _write_in(boot, SYSTEMD_BOOT, "loader/entries/guest.conf")
    _run("syslinux", "--install", boot)


def _copy_in(image: Path, file: Path, name: str) -> None:
    _run("mcopy", "-i", image, file, f"::/{name}")


def _write_in(image: Path, text: str, name: str) -> None:
    subprocess.run(["mcopy", "-i", image, "-", f"::/{name}"], check=True, input=text.encode())


def _sparse(file: Path, size_mib: int) -> None:
    with file.open("wb") as handle:
        handle.truncate(size_mib * MIB)


def _place(source: Path, target: Path, at_mib: int) -> None:
    _run("dd", f"if={source}", f"of={target}", "bs=1M", f"seek={at_mib}", "conv=notrunc,sparse", "status=none")


def _run(*command: str | int | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
