"""The settings of a simulated hypervisor connection: its size, its delays and its faults."""

from polyvisor.model.host import EVERY_PHYSICAL_NETWORK, HypervisorType
from polyvisor.model.record import Record


class SimulatedSettings(Record):
    """`[[hypervisor]]` with `driver = "simulated"`."""

    hosts: int = 1
    """How many hosts there are."""
    vcpus: int = 64
    """Processors of each host."""
    memory_mib: int = 262_144
    """Memory of each host, in MiB."""
    disk_gib: int = 4_096
    """Disk of each host, in GiB."""
    hypervisor_type: HypervisorType = HypervisorType.SIMULATED
    """What the hosts say they are, so that routing by image can be tried without a hypervisor."""
    architecture: str = "x86_64"
    """What processor the hosts say they have."""
    traits: tuple[str, ...] = ()
    """Traits of every host, as os-traits names them."""
    overlay: bool = True
    """Whether geneve networks reach the hosts."""
    physical_networks: tuple[str, ...] = (EVERY_PHYSICAL_NETWORK,)
    """Networks of the site that the hosts say they are connected to; `*` = all of them."""
    estate_path: str = ""
    """File that holds the guests; empty = one in the data directory. Agents that name the same file serve the same
    estate, as two agents serve one vCenter."""
    storage_path: str = ""
    """Directory that stands for storage which the hosts of all connections that name it share; empty = each host has
    its own disks."""
    delay_seconds: float = 0.0
    """How long every call that changes something takes."""
    boot_seconds: float = 0.0
    """How long a guest takes from being asked for power until it has it."""
    fault_rate: float = 0.0
    """The share of calls (0 to 1) that are refused."""
    lost_reply_rate: float = 0.0
    """The share of calls (0 to 1) that are carried out, and then answered with a broken connection."""
    vanish_rate: float = 0.0
    """The share of inventories (0 to 1) before which one guest is removed behind Polyvisor's back."""
    seed: int = 0
    """Decides which calls the rates above hit, so that a run can be repeated."""
