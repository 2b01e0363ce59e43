"""RBAC policies: which project may see or use another's network, security group, and so on."""

from polyvisor.model.record import Record

EVERYBODY = "*"
"""The target_tenant that stands for all projects."""
AS_SHARED, AS_EXTERNAL = "access_as_shared", "access_as_external"


class RbacPolicy(Record):
    """A policy as the store has it."""

    id: str
    project_id: str
    object_type: str
    """"network", "security_group", "qos_policy", "address_scope", "subnetpool" or "address_group"."""
    object_id: str
    action: str
    """"access_as_shared" or "access_as_external"."""
    target_project: str
    """A project's id, or EVERYBODY."""
