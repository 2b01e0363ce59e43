"""Which machine an image's properties lead to."""

import pytest

from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.hypervisor.kvm.machine import Machine, choose
from polyvisor.hypervisor.kvm.settings import KvmSettings


def machine(**properties: str) -> Machine:
    return choose(properties, {}, KvmSettings())


def test_without_properties_it_is_q35_with_virtio_and_bios() -> None:
    assert machine() == Machine(type="q35", disk_bus="virtio", cdrom_bus="scsi", video_model="vga")


def test_the_hosts_settings_are_the_defaults_and_the_image_wins() -> None:
    settings = KvmSettings(machine_type="pc", disk_bus="sata", video_model="qxl")
    assert choose({}, {}, settings).disk_bus == "sata"
    chosen = choose({"hw_machine_type": "q35", "hw_disk_bus": "scsi", "hw_video_model": "virtio"}, {}, settings)
    assert (chosen.type, chosen.disk_bus, chosen.video_model) == ("q35", "scsi", "virtio")


@pytest.mark.parametrize(
    ("properties", "bus"),
    [
        ({"hw_disk_bus": "virtio"}, "scsi"),  # kernels made for clouds know no SATA
        ({"hw_disk_bus": "sata"}, "sata"),
        ({"os_type": "windows"}, "sata"),  # Windows comes without virtio drivers
        ({"os_type": "windows", "hw_machine_type": "pc"}, "ide"),
        ({"hw_cdrom_bus": "virtio"}, "virtio"),
        ({"hw_disk_bus": "ide"}, "ide"),
    ],
)
def test_the_config_drive_is_where_the_guest_will_find_it(properties: dict[str, str], bus: str) -> None:
    assert machine(**properties).cdrom_bus == bus


def test_an_installer_boots_from_a_drive_that_needs_no_virtio() -> None:
    assert choose({}, {}, KvmSettings(), removable_boot=True).cdrom_bus == "sata"


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ("", "virtio"),
        ("virtio", "virtio"),
        ("e1000", "e1000"),
        ("VirtualE1000e", "e1000e"),
        ("VirtualVmxnet3", "vmxnet3"),
        ("VirtualPCNet32", "pcnet"),
    ],
)
def test_the_image_says_what_its_network_cards_are_also_in_vspheres_words(asked: str, model: str) -> None:
    assert machine(hw_vif_model=asked).vif_model == model


def test_a_network_card_that_qemu_does_not_have_is_refused() -> None:
    with pytest.raises(HypervisorError, match="hw_vif_model is 'virtualsriovethernetcard'"):
        machine(hw_vif_model="VirtualSriovEthernetCard")


def test_ide_disks_bring_the_machine_that_has_them() -> None:
    assert machine(hw_disk_bus="ide").type == "pc"


def test_secure_boot_is_taken_where_it_is_required_or_possible() -> None:
    assert machine(hw_firmware_type="uefi", os_secure_boot="required").secure_boot
    assert machine(hw_firmware_type="uefi", os_secure_boot="optional").secure_boot
    assert not machine(os_secure_boot="optional").secure_boot
    assert not machine(hw_firmware_type="uefi").secure_boot


@pytest.mark.parametrize("off", [{"hw_rng_model": "none"}, {}])
def test_the_random_number_generator_can_be_refused_by_image_or_flavor(off: dict[str, str]) -> None:
    extra_specs = {} if off else {"hw_rng:allowed": "False"}
    assert machine().random
    assert not choose(off, extra_specs, KvmSettings()).random


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"hw_disk_bus": "nvme"}, "hw_disk_bus"),
        ({"hw_cdrom_bus": "floppy"}, "hw_cdrom_bus"),
        ({"hw_video_model": "voodoo"}, "hw_video_model"),
        ({"hw_firmware_type": "openfirmware"}, "hw_firmware_type"),
        ({"os_secure_boot": "perhaps"}, "os_secure_boot"),
        ({"hw_qemu_guest_agent": "maybe"}, "hw_qemu_guest_agent"),
        ({"hw_rng_model": "dice"}, "hw_rng_model"),
        ({"hw_machine_type": "q35", "hw_disk_bus": "ide"}, "IDE"),
        ({"os_secure_boot": "required"}, "hw_firmware_type"),
        ({"os_secure_boot": "required", "hw_firmware_type": "uefi", "hw_machine_type": "pc"}, "q35"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(properties: dict[str, str], named: str) -> None:
    with pytest.raises(HypervisorError, match=named):
        machine(**properties)
