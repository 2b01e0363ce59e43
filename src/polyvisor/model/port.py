"""Ports: where a server, a router or a service meets a network."""

from polyvisor.model.network_standard import Standard
from polyvisor.model.record import Record, Told

COMPUTE_OWNER = "compute:"
"""How the device_owner of a server's port begins; the availability zone follows."""
ROUTER_INTERFACE = "network:router_interface"
ROUTER_GATEWAY = "network:router_gateway"
FLOATING_IP = "network:floatingip"
METADATA = "network:distributed"
"""The owner of the port at which a network's metadata service and DHCP answer."""


class FixedIp(Told):
    """An address of a port."""

    subnet_id: str
    ip_address: str


class AddressPair(Told):
    """An address that a port may send from besides its own."""

    ip_address: str
    """An address or a CIDR."""
    mac_address: str
    """The port's own where none was given."""


class ExtraDhcpOption(Told):
    """A DHCP option of one port."""

    opt_name: str
    opt_value: str | None
    """None removes what the subnet says."""
    ip_version: int = 4


class Binding(Record):
    """Where a port is plugged."""

    host: str = ""
    """The hypervisor host; "" while it is plugged nowhere."""
    vif_type: str = "unbound"
    """"ovs", "dvs", "simulated", "unbound" or "binding_failed"."""
    vif_details: dict[str, object] = {}
    vnic_type: str = "normal"
    profile: dict[str, object] = {}


class Carried(Record):
    """A port that a trunk carries, as the trunk's own port tells of it."""

    port_id: str
    segmentation_type: str
    segmentation_id: int
    mac_address: str


class TrunkDetails(Record):
    """The trunk that a port is of."""

    trunk_id: str
    sub_ports: tuple[Carried, ...] = ()
    """By their tags."""


class Port(Standard):
    """A port as the store has it."""

    network_id: str
    mac_address: str
    fixed_ips: tuple[FixedIp, ...] = ()
    admin_state_up: bool = True
    status: str = "DOWN"
    """"ACTIVE" once its backend says that packets pass, "DOWN", or "N/A"."""
    device_id: str = ""
    device_owner: str = ""
    security_group_ids: tuple[str, ...] = ()
    port_security_enabled: bool = True
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    extra_dhcp_opts: tuple[ExtraDhcpOption, ...] = ()
    binding: Binding = Binding()
    dns_name: str = ""
    dns_domain: str = ""
    qos_policy_id: str | None = None
    propagate_uplink_status: bool = True
    trunk: TrunkDetails | None = None
    """Where a trunk is made on it."""


class WantedIp(Record):
    """An address that a port is to have: any of a subnet, a certain one, or a certain one of a subnet."""

    subnet_id: str | None = None
    ip_address: str | None = None


class PortWanted(Record):
    """What a port is to be. What is None is chosen."""

    project_id: str
    network_id: str
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    mac_address: str | None = None
    fixed_ips: tuple[WantedIp, ...] | None = None
    """None = an address of each IP version that the network has; () = none at all."""
    device_id: str = ""
    device_owner: str = ""
    security_group_ids: tuple[str, ...] | None = None
    """None = the project's default group, where the port has port security and no owner of the network's own."""
    port_security_enabled: bool | None = None
    """None = as the network says."""
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    """A pair without a MAC address ("") gets the port's."""
    extra_dhcp_opts: tuple[ExtraDhcpOption, ...] = ()
    binding: Binding = Binding()
    dns_name: str = ""
    dns_domain: str = ""
    qos_policy_id: str | None = None
    propagate_uplink_status: bool = True
    tags: tuple[str, ...] = ()
