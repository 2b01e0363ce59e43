"""Definitions: libvirt's own schema takes every one of them, and they say what matters."""

import itertools

import libvirt
import msgspec
import pytest

from polyvisor.hypervisor.kvm import domain_xml
from polyvisor.hypervisor.kvm.domain_xml import Definition, GuestFiles
from polyvisor.hypervisor.kvm.machine import choose
from polyvisor.hypervisor.kvm.settings import CpuMode, KvmSettings
from polyvisor.hypervisor.kvm.xml import Element, dump, parse
from polyvisor.model.network import NetworkType, SegmentRef
from polyvisor.model.nic import Nic
from tests.hypervisor.conformance import spec_of
from tests.hypervisor.kvm.bed import KvmBed

FILES = GuestFiles(
    root="/i/root.qcow2",
    base="/c/disk.qcow2",
    base_format="qcow2",
    ephemeral="/i/ephemeral.raw",
    swap="/i/swap.raw",
    config_drive="/i/config-drive.iso",
    console_log="/i/console.log",
    nvram="/i/nvram.fd",
)


def definition(
    properties: dict[str, str] | None = None, virt_type: str = "qemu", settings: KvmSettings | None = None
) -> Definition:
    settings = settings or KvmSettings()
    return Definition(
        spec=spec_of(None),
        machine=choose(properties or {}, {}, settings),
        files=FILES,
        cloud_id="c10d",
        virt_type=virt_type,
        architecture="x86_64",
        settings=settings,
        disk_cache="none",
        vnc_password="secret12",
    )


def built(given: Definition) -> Element:
    return parse(domain_xml.build(given))


def attributes(root: Element, path: str) -> dict[str, str]:
    found = root.find(path)
    assert found is not None, path
    return dict(found.attrib)


BUSES = [{"hw_disk_bus": disk, "hw_cdrom_bus": drive} for disk, drive in itertools.product(
    ("virtio", "scsi", "sata", "usb", "ide"), ("virtio", "scsi", "sata", "usb", "ide"))]  # fmt: skip
MODELS = [{"hw_video_model": model} for model in ("vga", "virtio", "qxl", "cirrus", "bochs", "ramfb", "none", "gop")]
OTHERS = [
    {"hw_firmware_type": "uefi"},
    {"hw_firmware_type": "uefi", "os_secure_boot": "required"},
    {"os_type": "windows", "hw_machine_type": "pc"},
    {"os_type": "windows"},
    {"hw_qemu_guest_agent": "no", "hw_rng_model": "none"},
]


@pytest.mark.parametrize("properties", BUSES + MODELS + OTHERS, ids=lambda given: "-".join(given.values()))
def test_libvirt_takes_it_whole(bed: KvmBed, properties: dict[str, str]) -> None:
    link = bed.host.connect()
    domain = link.defineXMLFlags(domain_xml.build(definition(properties)), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    link.close()


NIC = Nic(
    port_id="0a1b2c3d-4e5f-4000-8000-000000000001",
    network_id="net",
    network_name="private",
    project_id="p",
    mac_address="fa:16:3e:00:00:01",
    mtu=1442,
    segment=SegmentRef(network_type=NetworkType.GENEVE, segmentation_id=7),
)


def with_card(*, userspace: bool = False, properties: dict[str, str] | None = None, bridge: str = "br-int") -> Element:
    given = definition(properties, settings=KvmSettings(integration_bridge=bridge))
    given = msgspec.structs.replace(
        given, spec=msgspec.structs.replace(given.spec, nics=(NIC,)), userspace_switch=userspace
    )
    return built(given)


def test_a_card_is_on_the_bridge_by_its_ports_id() -> None:
    root = with_card(bridge="br-lab")
    assert attributes(root, "devices/interface") == {"type": "bridge"}
    assert attributes(root, "devices/interface/source") == {"bridge": "br-lab"}
    assert attributes(root, "devices/interface/virtualport") == {"type": "openvswitch"}
    assert attributes(root, "devices/interface/virtualport/parameters") == {"interfaceid": NIC.port_id}
    assert attributes(root, "devices/interface/mac") == {"address": "fa:16:3e:00:00:01"}
    assert attributes(root, "devices/interface/mtu") == {"size": "1442"}
    assert attributes(root, "devices/interface/model") == {"type": "virtio"}
    assert attributes(root, "devices/interface/target") == {"dev": "tap0a1b2c3d-4e"}


def test_only_on_a_userspace_bridge_does_the_guest_compute_its_checksums_itself() -> None:
    assert with_card().find("devices/interface/driver") is None
    slow = with_card(userspace=True)
    assert attributes(slow, "devices/interface/driver/host")["csum"] == "off"
    assert attributes(slow, "devices/interface/driver/guest")["csum"] == "off"
    emulated = with_card(userspace=True, properties={"hw_vif_model": "e1000"})
    assert emulated.find("devices/interface/driver") is None  # it offers the guest no such help
    assert attributes(emulated, "devices/interface/model") == {"type": "e1000"}


@pytest.mark.parametrize("userspace", [False, True])
@pytest.mark.parametrize("model", ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"])
def test_libvirt_takes_cards_of_every_model(bed: KvmBed, model: str, userspace: bool) -> None:
    text = dump(with_card(userspace=userspace, properties={"hw_vif_model": model}))
    link = bed.host.connect()
    domain = link.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    link.close()


def test_a_name_that_xml_cannot_carry_does_no_harm() -> None:
    given = definition()
    given = msgspec.structs.replace(
        given, spec=msgspec.structs.replace(given.spec, name="a\x00b\x1b <c> & \ud800 \n größe")
    )
    root = built(given)
    assert root.findtext("title") == "ab <c> & größe"


def test_it_carries_the_cloud_that_made_it() -> None:
    root = built(definition())
    mark = root.find(f"metadata/{{{domain_xml.NAMESPACE}}}server")
    assert mark is not None
    assert mark.get("cloud") == "c10d"


@pytest.mark.parametrize("properties", [{}, {"hw_firmware_type": "uefi"}])
def test_the_guest_s_software_knows_whose_metadata_to_look_for(properties: dict[str, str]) -> None:
    """cloud-init's OpenStack source and ds-identify go by the name of the product."""
    root = built(definition(properties))
    system = {entry.get("name"): entry.text for entry in root.iterfind("sysinfo/system/entry")}
    assert system["product"] == "OpenStack Nova"
    assert system["uuid"] == system["serial"] == root.findtext("uuid")
    assert attributes(root, "os/smbios") == {"mode": "sysinfo"}


def test_the_backing_chain_is_declared_to_its_end() -> None:
    root = built(definition())
    backing = root.find("devices/disk/backingStore")
    assert backing is not None
    assert attributes(backing, "source") == {"file": "/c/disk.qcow2"}
    assert attributes(backing, "backingStore") == {}


def test_each_disk_has_a_name_of_its_own() -> None:
    root = built(definition({"hw_disk_bus": "sata", "hw_cdrom_bus": "sata"}))
    names = [target.get("dev") for target in root.iterfind("devices/disk/target")]
    assert names == ["sda", "sdb", "sdc", "sdd"]


def test_an_installer_disc_boots_after_the_disk() -> None:
    files = msgspec.structs.replace(FILES, base="", cdrom="/c/disk.iso")
    root = built(msgspec.structs.replace(definition(), files=files))
    order = {disk.find("source").get("file"): disk.find("boot") for disk in root.iterfind("devices/disk")}  # type: ignore[union-attr]
    boots = {path: boot.get("order") for path, boot in order.items() if boot is not None}
    assert boots == {"/i/root.qcow2": "1", "/c/disk.iso": "2"}


def test_windows_gets_its_enlightenments_under_kvm_alone() -> None:
    windows = {"os_type": "windows"}
    assert built(definition(windows, "kvm")).find("features/hyperv") is not None
    assert built(definition(windows, "qemu")).find("features/hyperv") is None
    assert built(definition({}, "kvm")).find("features/hyperv") is None
    assert attributes(built(definition(windows)), "clock")["offset"] == "localtime"


@pytest.mark.parametrize(
    ("virt_type", "settings", "mode"),
    [
        ("kvm", KvmSettings(), "host-model"),
        ("qemu", KvmSettings(), "maximum"),
        ("kvm", KvmSettings(cpu_mode=CpuMode.HOST_PASSTHROUGH), "host-passthrough"),
        ("kvm", KvmSettings(cpu_mode=CpuMode.CUSTOM, cpu_model="EPYC"), "custom"),
    ],
)
def test_the_processor_follows_the_settings(virt_type: str, settings: KvmSettings, mode: str) -> None:
    root = built(definition({}, virt_type, settings))
    assert attributes(root, "cpu")["mode"] == mode
    assert root.findtext("cpu/model") == (settings.cpu_model or None)


def test_pcie_slots_stay_free_for_what_is_attached_later(bed: KvmBed) -> None:
    link = bed.host.connect()
    domain = link.defineXML(domain_xml.build(definition(settings=KvmSettings(hotplug_ports=7))))
    root = parse(domain.XMLDesc())
    domain.undefine()
    link.close()
    ports = {controller.get("index") for controller in root.iterfind("devices/controller[@model='pcie-root-port']")}
    taken = {str(int(address.get("bus", "0"), 16)) for address in root.iterfind("devices/*/address[@type='pci']")}
    assert len(ports - taken) == 7
