"""Rows of the northbound database as the records want them; ovn-nb(5) says what each column means."""

from collections.abc import Iterable, Mapping
from typing import Any

from polyvisor.model.record import Record
from polyvisor.network.backend import Subject

UNIT_MARK = "polyvisor_subject"
"""In external_ids: the subject that a row was made for, "port:ID". Rows without it are somebody else's."""
KEY_MARK = "polyvisor_key"
"""In external_ids: which of the subject's rows of the table it is."""
OUR_MARKS = "polyvisor_"
"""How all keys in external_ids begin that are ours."""

Value = Any
"""A column's value: a string, an integer, a frozenset (of optional columns too), or a mapping; references are Ref."""
NOTHING: frozenset[Any] = frozenset()


class Ref(Record):
    """A row that another refers to, by its table and our key."""

    table: str
    key: str


class Place(Record):
    """A column of another row that holds the row: what is held nowhere does not live."""

    table: str
    key: str
    column: str


class Row(Record):
    """A row that there is to be. Columns of `MANAGED` that it does not name have their default."""

    table: str
    key: str
    """Unique in its table."""
    subject: Subject
    columns: Mapping[str, Value] = {}
    places: tuple[Place, ...] = ()

    @property
    def ref(self) -> Ref:
        """How others refer to it."""
        return Ref(table=self.table, key=self.key)

    def whole(self) -> dict[str, Value]:
        """Each managed column with its value."""
        return {**MANAGED[self.table], **self.columns}


def some(value: Value) -> frozenset[Value]:
    """An optional column that has a value."""
    return frozenset((value,))


def text_list(items: Iterable[str]) -> str:
    """Several values in one of DHCP's options."""
    return "{" + ", ".join(items) + "}"


# What is kept equal to the records; columns that are not here are left to whoever writes them (northd, an operator who
# logs an ACL). In a table with names, a row that has lost its marks is found again by its name, which is ours alone.
MANAGED: dict[str, dict[str, Value]] = {
    "Logical_Switch": {"name": "", "other_config": {}},
    "Logical_Switch_Port": {
        "name": "",
        "type": "",
        "options": {},
        "parent_name": NOTHING,
        "tag": NOTHING,
        "addresses": NOTHING,
        "port_security": NOTHING,
        "enabled": NOTHING,
        "dhcpv4_options": NOTHING,
        "dhcpv6_options": NOTHING,
        "ha_chassis_group": NOTHING,
    },
    "DHCP_Options": {"cidr": "", "options": {}},
    "DNS": {"records": {}},
    "ACL": {"priority": 0, "direction": "", "match": "", "action": ""},
    "QoS": {"priority": 0, "direction": "", "match": "", "action": {}, "bandwidth": {}},
    "Port_Group": {"name": ""},
    "Address_Set": {"name": "", "addresses": NOTHING},
    "Logical_Router": {"name": "", "enabled": NOTHING, "options": {}},
    "Logical_Router_Port": {
        "name": "",
        "mac": "",
        "networks": NOTHING,
        "enabled": NOTHING,
        "options": {},
        "ipv6_ra_configs": {},
    },
    "Logical_Router_Static_Route": {"ip_prefix": "", "nexthop": "", "output_port": NOTHING, "policy": NOTHING},
    "NAT": {"type": "", "external_ip": "", "logical_ip": "", "external_mac": NOTHING, "logical_port": NOTHING},
    "Load_Balancer": {"name": "", "vips": {}, "protocol": NOTHING, "options": {}},
    "Gateway_Chassis": {"name": "", "chassis_name": "", "priority": 0},
    "HA_Chassis_Group": {"name": ""},
    "HA_Chassis": {"chassis_name": "", "priority": 0},
}

# Columns that hold other rows. A row that lives by being held has one place, whoever put it elsewhere; the rows of
# SHARED_HOLDERS, where they are somebody else's, may hold ours besides.
HOLDERS: dict[tuple[str, str], str] = {
    ("Logical_Switch", "ports"): "Logical_Switch_Port",
    ("Logical_Switch", "qos_rules"): "QoS",
    ("Logical_Switch", "dns_records"): "DNS",
    ("Port_Group", "ports"): "Logical_Switch_Port",
    ("Port_Group", "acls"): "ACL",
    ("Logical_Router", "ports"): "Logical_Router_Port",
    ("Logical_Router", "static_routes"): "Logical_Router_Static_Route",
    ("Logical_Router", "nat"): "NAT",
    ("Logical_Router", "load_balancer"): "Load_Balancer",
    ("Logical_Router_Port", "gateway_chassis"): "Gateway_Chassis",
    ("HA_Chassis_Group", "ha_chassis"): "HA_Chassis",
}
SHARED_HOLDERS = frozenset(
    (("Port_Group", "ports"), ("Logical_Switch", "dns_records"), ("Logical_Router", "load_balancer"))
)
ROOTS = frozenset(
    (
        "Logical_Switch",
        "DHCP_Options",
        "DNS",
        "Port_Group",
        "Address_Set",
        "Logical_Router",
        "Load_Balancer",
        "HA_Chassis_Group",
    )
)
"""Tables whose rows live without being held."""
