"""Quotas of the Networking API: how many of each a project may have where nobody says otherwise."""

DEFAULTS: dict[str, int] = {
    "network": 100,
    "subnet": 100,
    "subnetpool": -1,
    "port": 500,
    "router": 10,
    "floatingip": 50,
    "security_group": 10,
    "security_group_rule": 100,
    "rbac_policy": 10,
    "trunk": -1,
}
"""By the API's names; -1 = as much as there is. They are Neutron's defaults."""
