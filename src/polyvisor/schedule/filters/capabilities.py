"""What the flavor asks of a host by `capabilities:KEY`, in the words of Nova's ComputeCapabilitiesFilter."""

from collections.abc import Callable, Mapping

import numpy as np

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.columns import Mask, Numbers
from polyvisor.schedule.phrase import Phrase
from polyvisor.schedule.requirement import Requirement
from polyvisor.schedule.table import DISK, MEMORY, VCPUS, HostTable

ADVICE = "ask for another flavor"

NUMBERS: Mapping[str, Callable[[HostTable], Numbers]] = {
    "free_ram_mb": lambda table: table.free[MEMORY],
    "free_disk_mb": lambda table: table.free[DISK] * 1024,
    "vcpus_total": lambda table: table.limit[VCPUS],
    "vcpus_used": lambda table: table.limit[VCPUS] - table.free[VCPUS],
    "num_instances": lambda table: table.servers,
    "hypervisor_version": lambda table: table.version,
}
WORDS: Mapping[str, Callable[[HostTable, int], str]] = {
    "host": lambda table, row: table.name(row),
    "hypervisor_hostname": lambda table, row: table.name(row),
    "hypervisor_type": lambda table, row: table.view(row).host.report.hypervisor_type.value,
    "cpu_info:arch": lambda table, row: table.view(row).host.report.architecture,
    "cpu_info:model": lambda table, row: table.view(row).host.report.cpu_info,
}


def mask(table: HostTable, ask: Ask) -> Mask | None:
    """Which hosts meet every such extra spec; None = all, as there is none."""
    if not ask.capabilities:
        return None
    found = table.alive[: table.size].copy()
    for key, requirement in ask.capabilities.items():
        if key in NUMBERS:
            found &= requirement.met_by_each(NUMBERS[key](table)[: table.size])
        elif key in WORDS:
            for row in np.flatnonzero(found).tolist():
                found[row] = requirement.met_by(WORDS[key](table, row))
        else:
            found[:] = False
    return found


def reason(table: HostTable, row: int, ask: Ask) -> str | None:
    """Why this host does not do, or None."""
    key = _unmet(table, row, ask.capabilities)
    if key is None:
        return None
    wanted = f"while the flavor asks for {ask.capabilities[key].text}"
    own = _own(table, row, key)
    return f"knows no capability {key}, {wanted}" if own is None else f"has {key} {own}, {wanted}"


def phrase(table: HostTable, row: int, ask: Ask) -> Phrase:
    """The same for the user, for any number of such hosts."""
    key = _unmet(table, row, ask.capabilities)
    return Phrase(f"has not the {key} that the flavor asks for", f"have not the {key} that the flavor asks for")


def _own(table: HostTable, row: int, key: str) -> str | None:
    if key in NUMBERS:
        return str(NUMBERS[key](table)[row])
    return WORDS[key](table, row) if key in WORDS else None


def _unmet(table: HostTable, row: int, capabilities: dict[str, Requirement]) -> str | None:
    for key, requirement in capabilities.items():
        own = _own(table, row, key)
        if own is None or not requirement.met_by(own):
            return key
    return None
