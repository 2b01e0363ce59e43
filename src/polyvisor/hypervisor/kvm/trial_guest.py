"""The tiny guest that tries whether a virtualization type works: a boot sector that has to say a word on its serial
port.

It goes where an operating system goes first: from real mode to 64 bits with paging, through SSE, into an interrupt
and back.
A KVM without hardware behind it (nested virtualization done in software, for one) runs a BIOS, but not this.
"""

import secrets
from pathlib import Path

from polyvisor.hypervisor.kvm.domain_xml import NAMESPACE, cpu
from polyvisor.hypervisor.kvm.guests import TRIAL
from polyvisor.hypervisor.kvm.settings import KvmSettings
from polyvisor.hypervisor.kvm.xml import dump, element

WORD = b"alive"
ARCHITECTURE = "x86_64"
_DISK_BYTES = 1 << 20
_SECTOR_BYTES = 512
_CODE = (
    "fa 31c0 8ed8 8ec0 8ed0 bc007c"  # 7C00: cli; ax, ds, es, ss = 0; sp = 7C00h
    "bf0010 b90020 fc f3ab"  # clear 1000h to 4FFFh
    "c70600100320 c70600200330 c70600308300"  # page tables at 1000h, 2000h, 3000h: the first 2 MiB, one to one
    "c7060042b27c c70602420800 c7060442008e"  # interrupt table at 4000h: interrupt 20h goes to 7CB2h
    "66b800100000 0f22d8"  # cr3 = 1000h
    "0f20e0 660d20060000 0f22e0"  # cr4: PAE, OSFXSR, OSXMMEXCPT
    "66b9800000c0 0f32 660d00010000 0f30"  # EFER: long mode
    "660f0116d07c 660f011ed67c"  # lgdt 7CD0h; lidt 7CD6h
    "0f20c0 24fb 660d03000080 0f22c0"  # cr0: paging, protection, SSE
    "ea7d7c0800"  # far jump to the next line, as 64-bit code
    "b810000000 8ed8 8ec0 8ed0 bc007c0000"  # 7C7D: data segments; esp = 7C00h
    "bedc7c0000 bf00500000 f30f6f06 f30f7f07"  # copy the word to 5000h, by SSE
    "cd20"  # int 20h
    "89fe 66baf803"  # from 5000h, to COM1 (3F8h):
    "ac 84c0 7403 ee ebf8"  # write each byte up to the zero
    "f4 ebfd"  # hlt, for ever
    "48cf 0f1f4000"  # 7CB2: iretq
    "0000000000000000 00000000009a2000 0000000000920000"  # 7CB8: no segment, 64-bit code, data
    "1700 b87c0000"  # 7CD0: these segments
    "0f02 00400000"  # 7CD6: the interrupt table
)
_BOOT_SECTOR = (bytes.fromhex(_CODE) + WORD + b"\r\n\0").ljust(_SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"


def disk() -> bytes:
    """The guest's whole disk."""
    return _BOOT_SECTOR.ljust(_DISK_BYTES, b"\0")


def definition(virt_type: str, settings: KvmSettings, disk_path: Path, output: Path) -> str:
    """The guest's definition: the processor that the host's guests get, and a serial port logged to `output`."""
    mark = element(f"polyvisor:{TRIAL}")
    mark.set("xmlns:polyvisor", NAMESPACE)
    drive = element(
        "disk",
        None,
        element("driver", name="qemu", type="raw"),
        element("source", file=disk_path),
        element("target", dev="sda", bus="sata"),
        type="file",
        device="disk",
    )
    # As with guests, virtlogd writes the log: the file stays ours to read, which QEMU's own output would not.
    log = element("log", file=output, append="on")
    serial = element("serial", None, log, element("target", port=0), type="pty")
    no_usb, no_balloon = element("controller", type="usb", model="none"), element("memballoon", model="none")
    domain = element(
        "domain",
        None,
        element("name", f"polyvisor-trial-{virt_type}-{secrets.token_hex(4)}"),
        element("metadata", None, mark),
        element("memory", "16", unit="MiB"),
        element("vcpu", "1"),
        element("os", None, element("type", "hvm", arch=ARCHITECTURE, machine="q35")),
        element("features", None, element("acpi")),
        cpu(settings, virt_type, vcpus=1),
        element("devices", None, drive, no_usb, serial, no_balloon),
        type=virt_type,
    )
    return dump(domain)
