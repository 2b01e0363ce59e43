"""Extra specs in Nova's own namespaces are checked from microversion 2.86 on: the key exists, and the value fits it."""

import re
from collections.abc import Mapping

from polyvisor.model.errors import Invalid

_TRUTH = r"(?i:true|false|t|f|yes|no|y|n|on|off|0|1)"
_COUNT = r"[1-9]\d{0,8}"
_WHOLE = r"\d{1,9}"
_CPUS = r"\^?\d+((-|,\^?)\d+)*"
_ANY = r".*"
_COMPARED = r"((<|>|<=|>=|=|==|!=|s<|s<=|s>|s>=|s==|s!=)\s+.+|<(in|all-in|or)>\s+.+|[^<>=!].*)"

_KNOWN: dict[str, dict[str, str]] = {
    "hw": {
        r"boot_menu|cpu_realtime|mem_encryption|vif_multiqueue_enabled|locked_memory|hide_hypervisor_id"
        r"|virtio_packed_ring": _TRUTH,
        r"cpu_(sockets|cores|threads|max_sockets|max_cores|max_threads)|numa_nodes|numa_mem\.\d+"
        r"|serial_port_count|maxphysaddr_bits": _COUNT,
        r"cpu_policy": "dedicated|shared|mixed",
        r"cpu_thread_policy": "prefer|isolate|require",
        r"cpu_(dedicated|realtime)_mask|numa_cpus\.\d+": _CPUS,
        r"emulator_threads_policy": "isolate|share",
        r"mem_page_size": r"small|large|any|\d+([kKMGT]i?)?[bB]?",
        r"pci_numa_affinity_policy": "required|preferred|legacy|socket",
        r"watchdog_action": "none|pause|poweroff|reset|disabled",
        r"pmem": _ANY,
        r"tpm_version": r"1\.2|2\.0",
        r"tpm_model": "tpm-tis|tpm-crb",
        r"tpm_secret_security": "user|host|deployment",
        r"viommu_model": "intel|smmuv3|virtio|auto",
        r"maxphysaddr_mode": "passthrough|emulate",
        r"input_bus": "usb|virtio",
        r"sound_model": "sb16|es1370|pcspk|ac97|ich6|ich9|usb|virtio",
        r"usb_model": "piix3-uhci|piix4-uhci|ehci|ich9-ehci1|vt82c686b-uhci|pci-ohci|nec-xhci|qemu-xhci",
    },
    "hw_rng": {r"allowed": _TRUTH, r"rate_bytes|rate_period": _WHOLE},
    "hw_video": {r"ram_max_mb": _WHOLE},
    "os": {r"secure_boot": "disabled|optional|required", r"inject_password": _TRUTH},
    "quota": {
        r"cpu_(shares|period|limit|reservation|shares_share)|disk_io_(limit|reservation|shares_share)"
        r"|memory_(limit|reservation|shares_share)|vif_(limit|reservation|shares_share)"
        r"|disk_(read|write|total)_(bytes|iops)_sec(_max)?(_length)?"
        r"|vif_(in|out)bound_(average|burst|peak)": _WHOLE,
        r"cpu_quota": r"-?\d{1,9}",
        r"(cpu|disk_io|memory|vif)_shares_level": "custom|high|normal|low",
    },
    "resources": {r"[A-Z0-9_]+": _WHOLE},
    "trait": {r"[A-Z0-9_]+": "required|forbidden"},
    "accel": {r"device_profile": _ANY},
    "pci_passthrough": {r"alias": r"[^:]+:\d+(,\s*[^:]+:\d+)*"},
    "vmware": {r"hw_version|storage_policy|boot_order|boot_retry": _ANY},
    "capabilities": {r".+": _COMPARED},
    "aggregate_instance_extra_specs": {r".+": _COMPARED},
}
"""By namespace: what a key there looks like (without the namespace), and what its value is to match."""

_NUMBERED = re.compile(r"(resources|trait)[A-Za-z0-9_-]{1,64}")


def check(specs: Mapping[str, str]) -> None:
    """Raise Invalid for the first extra spec of a known namespace that does not exist or does not fit.

    Keys of other namespaces, and keys without one, are the operator's own.
    """
    for key, value in specs.items():
        namespace, colon, name = key.partition(":")
        if not colon:
            continue
        grouped = _NUMBERED.fullmatch(namespace)
        known = _KNOWN.get(grouped[1] if grouped else namespace)
        if known is not None:
            _check_one(known, key, name, value)


def _check_one(known: Mapping[str, str], key: str, name: str, value: str) -> None:
    for pattern, allowed in known.items():
        if re.fullmatch(pattern, name):
            if re.fullmatch(allowed, value, re.DOTALL) is None:
                raise Invalid(f"The extra spec {key} cannot be '{value[:64]}': see the reference for what it takes.")
            return
    raise Invalid(f"There is no extra spec {key}: keys of the namespace '{key.partition(':')[0]}' are Nova's own.")
