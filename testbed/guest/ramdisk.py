"""Puts the guest's root file system together: busybox, an SSH server, the guest agent, drivers and our own scripts."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

KERNEL_PACKAGE = "linux-image-amd64"
"""The full kernel, not the cloud one: that lacks LSI Logic, AHCI and e1000."""

PACKAGES = ("busybox", "dropbear-bin", "qemu-guest-agent")
"""Not busybox-static: its wget crashes when it resolves names."""

PROGRAMS = ("usr/bin/busybox", "usr/sbin/dropbear", "usr/bin/dropbearkey", "usr/sbin/qemu-ga")

DRIVERS = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_scsi", "virtio_console", "virtio_rng", "virtio_balloon"),
    *("ata_piix", "ahci", "mptspi", "mptsas", "sym53c8xx", "megaraid_sas", "BusLogic", "vmw_pvscsi", "nvme"),
    *("e1000", "e1000e", "vmxnet3"),
    *("sd_mod", "sr_mod", "button", "evdev", "atkbd", "af_packet"),
    *("ext4", "isofs", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8", "crc32c_generic"),
)

FOLDERS = ("data", "dev", "etc/dropbear", "media", "proc", "root/.ssh", "run", "sys", "tmp", "var/log")


def pack(packages: Path, kernel: Path, own: Path, root: Path, target: Path) -> None:
    """Assemble `root` from unpacked packages, the unpacked kernel and our own files, and write it to `target`."""
    for folder in (*FOLDERS, "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    (root / "var/run").symlink_to("/run")
    for program in PROGRAMS:
        _copy_program(packages, Path(program), root)
    _link_applets(root)
    _copy_drivers(kernel, root)
    shutil.copytree(own, root, dirs_exist_ok=True)
    (root / "init").symlink_to("sbin/init")
    _archive(root, target)


def _copy_program(packages: Path, program: Path, root: Path) -> None:
    """Copy a program and the shared libraries it names, found among the packages and not on this machine."""
    loader = packages / "lib64/ld-linux-x86-64.so.2"
    libraries = packages / "usr/lib/x86_64-linux-gnu"
    command: list[str | Path] = [loader, "--inhibit-cache", "--library-path", libraries, "--list", packages / program]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    shutil.copy(packages / program, root / program)
    shutil.copy(loader, root / "usr/lib64")
    folder = root / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(exist_ok=True)
    for name in re.findall(r"^\s*(lib\S+) => ", listed, re.MULTILINE):
        shutil.copy(libraries / name, folder / name)


def _link_applets(root: Path) -> None:
    busybox = root / "usr/bin/busybox"
    applets = subprocess.run([busybox, "--list-full"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        link = root / (applet if applet.startswith("usr/") else f"usr/{applet}")
        if link.parent.is_dir() and not link.exists():
            link.symlink_to("/usr/bin/busybox")


def _copy_drivers(kernel: Path, root: Path) -> None:
    """Copy the drivers and what they depend on, with an index of their own, so that the guest loads what it finds."""
    version = next((kernel / "lib/modules").iterdir()).name
    subprocess.run(["depmod", "--basedir", kernel, version], check=True)
    command: list[str | Path] = [
        "modprobe",
        "--dirname",
        kernel,
        "--set-version",
        version,
        "--show-depends",
        "--all",
        *DRIVERS,
    ]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    source = kernel / "lib/modules" / version
    target = root / "lib/modules" / version
    for line in sorted(set(re.findall(r"^insmod (\S+)", shown, re.MULTILINE))):
        inside = Path(line).relative_to(source)
        (target / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(line, target / inside)
    for index in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(source / index, target)
    subprocess.run(["depmod", "--basedir", root, version], check=True)


def _archive(root: Path, target: Path) -> None:
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    command = ["cpio", "--create", "--format=newc", "--owner=0:0", "--reproducible", "--quiet", "--null"]
    done = subprocess.run(command, check=True, cwd=root, input="\0".join(names).encode(), capture_output=True)
    target.write_bytes(gzip.compress(done.stdout, mtime=0))
