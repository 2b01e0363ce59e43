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


class OperateSettings(Record):
    """`[operate]`: the engine and its workers."""

    threads: int = 16
    """Steps that run side by side in one process."""
    inventory_seconds: float = 10.0
    """How often every hypervisor is asked for its hosts and guests."""
