"""Settings without sense are refused before anything starts."""

import msgspec
import pytest

from polyvisor.hypervisor.kvm.settings import CpuMode, KvmSettings, VirtType


def test_without_settings_it_is_the_machines_own_libvirt() -> None:
    settings = msgspec.convert({}, KvmSettings)
    assert settings.uri == "qemu:///system"
    assert settings.virt_type is VirtType.AUTO


@pytest.mark.parametrize(
    "given",
    [
        {"uri": "qemu:///session"},
        {"uri": "qemu+unix:///system?socket=/run/libvirt/libvirt-sock"},
        {"cpu_mode": "custom", "cpu_model": "EPYC"},
        {"hotplug_ports": 0},
    ],
)
def test_settings_with_sense_are_taken(given: dict[str, object]) -> None:
    assert msgspec.to_builtins(msgspec.convert(given, KvmSettings)).items() >= given.items()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"uri": "qemu+ssh://kvm-2/system"}, "this machine"),
        ({"uri": "qemu+tls://kvm-2/system"}, "this machine"),
        ({"uri": "esx://root@esx1"}, "this machine"),
        ({"uri": ""}, "this machine"),
        ({"cpu_mode": "custom"}, "cpu_model"),
        ({"cpu_model": "EPYC"}, "cpu_mode"),
        ({"cpu_mode": "fastest"}, "cpu_mode"),
        ({"virt_type": "xen"}, "virt_type"),
        ({"hotplug_ports": 29}, "hotplug_ports"),
        ({"disk_bus": "nvme"}, "disk_bus"),
        ({"video_model": "voodoo"}, "video_model"),
        ({"disk_cache": "sometimes"}, "disk_cache"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_settings_without_sense_are_refused_by_name(given: dict[str, object], named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.convert(given, KvmSettings)


def test_custom_is_a_mode_of_its_own() -> None:
    with pytest.raises(ValueError, match="cpu_model"):
        KvmSettings(cpu_mode=CpuMode.CUSTOM)
