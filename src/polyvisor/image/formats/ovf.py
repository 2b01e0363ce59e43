"""The OVF descriptor inside an OVA (DMTF DSP0243): which file is the disk, and what the machine around it was like."""

import re
from xml.etree import ElementTree

from polyvisor.image.errors import ImageRefused
from polyvisor.model.record import Record

_OVF = "{http://schemas.dmtf.org/ovf/envelope/%d}"
_RASD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"
_VMW = "{http://www.vmware.com/schema/ovf}"
_MEMORY, _IDE, _SCSI, _DISK = "4", "5", "6", "17"
_ADAPTERS = {
    "lsilogic": "lsiLogic",
    "lsilogicsas": "lsiLogicsas",
    "buslogic": "busLogic",
    "virtualscsi": "paraVirtual",
}


class Ovf(Record):
    """What an OVF says."""

    disk_file: str
    properties: dict[str, str] = {}
    """vmware_adaptertype, vmware_ostype, hw_firmware_type, as far as it says."""
    memory_mib: int = 0


def parse_ovf(text: bytes) -> Ovf:
    """Read an OVF. Refused: what is no OVF 1 or 2, more or fewer than one disk, a parent disk, packed or split
    files."""
    # No OVF needs a document type, and entities are how XML is made to explode.
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
        raise ImageRefused("The OVA's .ovf has a document type or is not UTF-8; export it again.")
    try:
        envelope = ElementTree.fromstring(text)  # noqa: S314 - no entities, see above
    except (ElementTree.ParseError, ValueError, LookupError):
        raise ImageRefused("The OVA's .ovf is not well-formed XML; export it again.") from None
    for version in (1, 2):
        if envelope.tag == f"{_OVF % version}Envelope":
            return _read(envelope, _OVF % version)
    raise ImageRefused("The OVA's .ovf is no OVF envelope of version 1 or 2.")


def _read(envelope: ElementTree.Element, ns: str) -> Ovf:
    files = {item.get(f"{ns}id", ""): item for item in envelope.findall(f"{ns}References/{ns}File")}
    disks = [disk for disk in envelope.findall(f"{ns}DiskSection/{ns}Disk") if disk.get(f"{ns}fileRef")]
    if len(disks) != 1:
        raise ImageRefused(
            f"The OVA holds {len(disks)} disks, and an image is one disk; export each as an image of its own."
        )
    disk = disks[0]
    if disk.get(f"{ns}parentRef"):
        raise ImageRefused(
            "The OVA's disk has a parent, so it is not whole; consolidate its snapshots and export it again."
        )
    file = files.get(disk.get(f"{ns}fileRef", ""))
    if file is None:
        raise ImageRefused("The OVA's .ovf names a disk file that it does not list.")
    if file.get(f"{ns}compression", "identity") not in ("", "identity") or file.get(f"{ns}chunkSize"):
        raise ImageRefused("The OVA's disk file is packed or split; export it without compression and in one piece.")
    properties, memory_mib = _hardware(envelope, ns, disk.get(f"{ns}diskId", ""))
    system = envelope.find(f".//{ns}OperatingSystemSection")
    if system is not None and (name := system.get(f"{_VMW}osType")):
        properties["vmware_ostype"] = name.removesuffix("Guest") + "Guest" if not name.endswith("Guest") else name
    return Ovf(disk_file=file.get(f"{ns}href", ""), properties=properties, memory_mib=memory_mib)


def _hardware(envelope: ElementTree.Element, ns: str, disk_id: str) -> tuple[dict[str, str], int]:
    items = envelope.findall(f".//{ns}VirtualHardwareSection/{ns}Item")
    by_id = {_text(item, "InstanceID"): item for item in items}
    properties: dict[str, str] = {}
    memory_mib = 0
    for item in items:
        kind = _text(item, "ResourceType")
        if kind == _MEMORY:
            memory_mib = _mib(_text(item, "VirtualQuantity"), _text(item, "AllocationUnits"))
        if kind == _DISK and _text(item, "HostResource").rsplit("/", 1)[-1] == disk_id:
            adapter = _adapter(by_id.get(_text(item, "Parent")))
            properties |= {"vmware_adaptertype": adapter} if adapter else {}
    for config in envelope.findall(f".//{_VMW}Config"):
        if config.get(f"{_VMW}key") == "firmware":
            properties["hw_firmware_type"] = "uefi" if config.get(f"{_VMW}value") == "efi" else "bios"
    return properties, memory_mib


def _adapter(controller: ElementTree.Element | None) -> str | None:
    if controller is None:
        return None
    if _text(controller, "ResourceType") == _IDE:
        return "ide"
    return (
        _ADAPTERS.get(_text(controller, "ResourceSubType").lower())
        if _text(controller, "ResourceType") == _SCSI
        else None
    )


def _mib(quantity: str, units: str) -> int:
    """MiB from an OVF quantity in programmatic units such as "byte * 2^20"."""
    found = re.search(r"2\s*\^\s*(\d{1,2})", units)
    exponent = int(found.group(1)) if found else {"megabytes": 20, "gigabytes": 30}.get(units.lower(), 20)
    return (int(quantity) << exponent) >> 20 if quantity.isdecimal() and len(quantity) < 16 else 0


def _text(item: ElementTree.Element, name: str) -> str:
    return (item.findtext(f"{_RASD}{name}") or "").strip()
