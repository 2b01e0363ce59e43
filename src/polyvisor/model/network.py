"""Networks, and the segments that carry them."""

from enum import StrEnum

from polyvisor.model.network_standard import Standard
from polyvisor.model.record import Record, Told


class NetworkType(StrEnum):
    """How a segment is carried between hosts."""

    FLAT = "flat"
    VLAN = "vlan"
    GENEVE = "geneve"


class SegmentRef(Told):
    """Where a segment's frames travel: what a hypervisor's switch needs to know of it."""

    network_type: NetworkType
    physical_network: str | None = None
    """The name that hosts map to a bridge or a distributed switch; None for geneve."""
    segmentation_id: int | None = None
    """The VLAN (1 to 4094) or the geneve identifier; None for flat."""


class Segment(Standard):
    """A segment of a network. Each network has at least one."""

    network_id: str
    carried: SegmentRef


class Network(Standard):
    """A network as the store has it."""

    admin_state_up: bool = True
    mtu: int
    """In bytes: the largest IP packet."""
    shared: bool = False
    """Whether every project may use it (an RBAC policy for "*")."""
    external: bool = False
    """Whether routers may have their gateways on it (router:external)."""
    is_default: bool = False
    """The external network of automatically allocated topologies."""
    port_security_enabled: bool = True
    dns_domain: str = ""
    qos_policy_id: str | None = None
    availability_zone_hints: tuple[str, ...] = ()
    segments: tuple[SegmentRef, ...] = ()
    """In the order of their making; the first carries the provider attributes."""
    subnet_ids: tuple[str, ...] = ()


class AutoAllocated(Record):
    """The network, subnets and router that were made for a project that asked for none by name."""

    project_id: str
    network_id: str
    router_id: str | None = None
