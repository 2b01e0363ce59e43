"""Trunks: a port that carries other ports' networks by VLAN tags."""

from polyvisor.model.network_standard import Standard
from polyvisor.model.record import Record

SUB_PORT_OWNER = "trunk:subport"
"""The device_owner of a port that a trunk carries."""
VLAN = "vlan"
LAST_VLAN = 4094


class SubPort(Record):
    """A port on a trunk."""

    port_id: str
    segmentation_type: str = "vlan"
    segmentation_id: int


class Trunk(Standard):
    """A trunk as the store has it."""

    port_id: str
    """The parent port, which a server has."""
    admin_state_up: bool = True
    status: str = "DOWN"
    """"ACTIVE" while packets pass at the parent port, else "DOWN"."""
    sub_ports: tuple[SubPort, ...] = ()
