"""What a KVM host can do, in os-traits' names. Pure."""

import functools
from collections.abc import Iterable

from polyvisor.hypervisor.kvm.capabilities import DomainCapabilities
from polyvisor.hypervisor.kvm.settings import DISK_BUSES, VIDEO_MODELS

# Processor features whose name differs between libvirt and os-traits by more than case and dashes.
_CPU = {
    "3dnow": ("3DNOW",),
    "abm": ("ABM",),
    "aes": ("AESNI",),
    "amx-bf16": ("AMXBF16",),
    "amx-int8": ("AMXINT8",),
    "amx-tile": ("AMXTILE",),
    "avx512-vpopcntdq": ("AVX512VPOPCNTDQ",),
    "bmi1": ("BMI",),
    "fma": ("FMA3",),
    "gfni": ("AVX512GFNI",),
    "hle": ("TSX",),
    "ibpb": ("AMD_IBPB",),
    "md-clear": ("INTEL_MD_CLEAR",),
    "no-ssb": ("AMD_NO_SSB",),
    "pcid": ("INTEL_PCID",),
    "pclmuldq": ("CLMUL",),
    "pni": ("SSE3",),
    "rtm": ("TSX",),
    "sha-ni": ("SHA",),
    "spec-ctrl": ("INTEL_SPEC_CTRL",),
    "sse4.1": ("SSE41",),
    "sse4.2": ("SSE42",),
    "ssbd": ("INTEL_SSBD",),
    "amd-ssbd": ("AMD_SSBD",),
    "svm": ("SVM", "AMD_SVM"),
    "vaes": ("AVX512VAES",),
    "virt-ssbd": ("AMD_VIRT_SSBD",),
    "vmx": ("VMX", "INTEL_VMX"),
    "vpclmulqdq": ("AVX512VPCLMULQDQ",),
}
_ALWAYS = (
    "COMPUTE_NODE",
    "COMPUTE_FIRMWARE_BIOS",
    "COMPUTE_IMAGE_TYPE_ISO",
    "COMPUTE_IMAGE_TYPE_QCOW2",
    "COMPUTE_IMAGE_TYPE_RAW",
    "COMPUTE_IMAGE_TYPE_VDI",
    "COMPUTE_IMAGE_TYPE_VHD",
    "COMPUTE_IMAGE_TYPE_VHDX",
    "COMPUTE_IMAGE_TYPE_VMDK",
)


@functools.cache
def _known() -> frozenset[str]:
    import os_traits

    return frozenset(os_traits.get_traits())


def traits(
    architecture: str, offered: DomainCapabilities, features: Iterable[str], *, hyperthreading: bool
) -> frozenset[str]:
    """The traits of a host whose guests can have `offered` and see the processor `features` (libvirt's names)."""
    found = {*_ALWAYS, f"HW_ARCH_{architecture.upper()}"}
    # An image that asks for IDE gets the machine `pc`, which has it where the usual one does not.
    buses = {bus for bus in DISK_BUSES if bus in offered.disk_buses or (bus == "ide" and architecture == "x86_64")}
    found.update(f"COMPUTE_STORAGE_BUS_{bus.upper()}" for bus in buses)
    models = {model for model in offered.video_models if model in VIDEO_MODELS}
    found.update(f"COMPUTE_GRAPHICS_MODEL_{model.upper()}" for model in models)
    if offered.uefi:
        found.add("COMPUTE_FIRMWARE_UEFI")
    if offered.uefi and offered.secure_boot:
        found.add("COMPUTE_SECURITY_UEFI_SECURE_BOOT")
    if hyperthreading:
        found.add("HW_CPU_HYPERTHREADING")
    if architecture == "x86_64":
        found.update(trait for feature in features for trait in _cpu_traits(feature))
    return frozenset(found & _known())


def _cpu_traits(feature: str) -> list[str]:
    names = _CPU.get(feature, (feature.upper().replace("-", "_"), feature.upper().replace("-", "")))
    return [f"HW_CPU_X86_{name}" for name in names]
