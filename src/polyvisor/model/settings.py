"""Settings that several layers share, each with its default; `polyvisor.toml` may change them."""

from polyvisor.model.record import Record


class ComputeSettings(Record):
    """`[compute]`: capacity and defaults of servers."""

    default_zone: str = "nova"
    """The availability zone of hosts in no aggregate that names one."""
    reserved_vcpus: int = 0
    """vCPUs a host keeps for itself."""
    reserved_memory_mib: int = 512
    """Memory a KVM host keeps for itself, in MiB."""
    reserved_disk_gib: int = 0
    """Disk a host keeps for itself, in GiB."""
    purge_after_hours: float = 24.0 * 30
    """How long deleted servers and their actions are kept."""
    answer_seconds: float = 15.0
    """How long a request waits for an answer that needs the hypervisor (console log, console)."""
    fence_after_seconds: float = 60.0
    """Where servers are evacuated automatically: after so long without an answer of any server, an agent turns off the
    guests of its hosts itself."""
    evacuate_after_seconds: float = 150.0
    """How long a host is silent until its servers are evacuated automatically; at least 30 seconds more than
    `fence_after_seconds`."""
    evacuate_at_once: int = 4
    """How many automatic evacuations are under way at the same time."""
    evacuate_most_down: float = 0.34
    """With a larger share of all hosts down at once, nothing is evacuated automatically: then it is the network. One
    host is never too many."""

    def __post_init__(self) -> None:
        if self.fence_after_seconds <= 0 or self.evacuate_after_seconds < self.fence_after_seconds + 30:
            raise ValueError(
                "`evacuate_after_seconds` must be at least 30 seconds more than `fence_after_seconds`, which must be "
                "more than 0: guests are to be off before they are started elsewhere."
            )
        if self.evacuate_at_once < 1 or not 0 <= self.evacuate_most_down <= 1:
            raise ValueError("`evacuate_at_once` must be at least 1, and `evacuate_most_down` from 0 to 1.")


class OperateSettings(Record):
    """`[operate]`: the engine and its workers."""

    threads: int = 16
    """Steps that run side by side in one process."""
    inventory_seconds: float = 10.0
    """How often every hypervisor is asked for its hosts and guests."""
