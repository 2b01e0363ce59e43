"""What a host is reported to be."""

import os
from pathlib import Path

import msgspec
import os_traits
import pytest

from polyvisor.hypervisor.kvm import capabilities
from polyvisor.hypervisor.kvm.driver import KvmDriver
from polyvisor.hypervisor.kvm.settings import KvmSettings, VirtType
from polyvisor.hypervisor.kvm.traits import traits
from polyvisor.model.host import HypervisorType
from tests.hypervisor.conformance import CLOUD_ID
from tests.hypervisor.kvm.bed import KvmBed

pytestmark = pytest.mark.xdist_group("kvm-host")

OFFERED = capabilities.DomainCapabilities(
    machine="pc-q35-7.2",
    emulator="/usr/bin/qemu-system-x86_64",
    largest_vcpus=288,
    uefi=True,
    secure_boot=True,
    cpu_modes=frozenset({"host-model"}),
    host_model="",
    disk_buses=frozenset({"virtio", "sata", "fdc"}),
    video_models=frozenset({"vga", "none", "vmvga"}),
)


def test_the_report_says_what_the_machine_has(bed: KvmBed, driver: KvmDriver) -> None:
    (host,) = driver.hosts()
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    assert host.name == "kvm-1"
    assert host.hypervisor_type is HypervisorType.QEMU
    assert host.capacity.vcpus == os.cpu_count()
    assert host.capacity.memory_mib == memory_kib // 1024
    disk = os.statvfs(bed.state_dir)
    assert host.capacity.disk_gib == disk.f_blocks * disk.f_frsize >> 30
    assert host.traits <= set(os_traits.get_traits())
    assert {"HW_ARCH_X86_64", "HW_CPU_X86_SSE2", "COMPUTE_FIRMWARE_UEFI"} <= host.traits


def test_little_free_disk_is_warned_of(bed: KvmBed) -> None:
    settings = KvmSettings(uri=bed.host.uri, virt_type=VirtType.QEMU, low_disk_gib=1 << 30)
    driver = KvmDriver("kvm-1", settings, CLOUD_ID, bed.state_dir)
    (host,) = driver.hosts()
    driver.close()
    assert any("GiB are free" in warning for warning in host.warnings)


def test_processor_features_get_their_openstack_names() -> None:
    features = ("pni", "sse4.2", "aes", "fma", "bmi1", "avx512f", "avx512-vpopcntdq", "svm", "sha-ni", "pclmuldq")
    found = traits("x86_64", OFFERED, features, hyperthreading=True)
    wanted = ["SSE3", "SSE42", "AESNI", "FMA3", "BMI", "AVX512F", "AVX512VPOPCNTDQ", "SVM", "AMD_SVM", "SHA", "CLMUL"]
    assert {f"HW_CPU_X86_{name}" for name in wanted} == {each for each in found if each.startswith("HW_CPU_X86_")}
    assert "HW_CPU_HYPERTHREADING" in found


def test_what_qemu_offers_is_said_by_traits() -> None:
    found = traits("x86_64", OFFERED, (), hyperthreading=False)
    assert {"COMPUTE_SECURITY_UEFI_SECURE_BOOT", "COMPUTE_STORAGE_BUS_SATA", "COMPUTE_GRAPHICS_MODEL_VGA"} <= found
    assert "COMPUTE_STORAGE_BUS_IDE" in found  # by the machine `pc`
    # An image that asked for these would be refused.
    assert not {"COMPUTE_STORAGE_BUS_FDC", "COMPUTE_STORAGE_BUS_USB", "COMPUTE_GRAPHICS_MODEL_VMVGA"} & found
    bare = msgspec.structs.replace(OFFERED, uefi=False)
    assert not {each for each in traits("x86_64", bare, (), hyperthreading=False) if "UEFI" in each}


def test_the_features_of_a_named_processor_are_those_guests_see(bed: KvmBed) -> None:
    link = bed.host.connect()
    offered = capabilities.read_domain(link, "x86_64", "q35", "qemu")
    nehalem = capabilities.cpu_features(link, offered, "x86_64", "qemu", "Nehalem")
    own = capabilities.cpu_features(link, offered, "x86_64", "qemu")
    link.close()
    assert "sse4.2" in nehalem
    assert "avx" not in nehalem
    assert {"sse2", "avx"} <= own


def test_the_user_of_qemu_is_found() -> None:
    found = capabilities.parse_host(
        "<capabilities><host><cpu><arch>x86_64</arch></cpu><secmodel><model>apparmor</model></secmodel>"
        "<secmodel><model>dac</model><baselabel type='kvm'>+64055:+107</baselabel></secmodel></host></capabilities>"
    )
    assert found.qemu_user == (64055, 107)
