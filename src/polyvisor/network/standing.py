"""Which records stand for something of their own in a backend, and which are part of another's."""

from polyvisor.model.network_intent import Unit
from polyvisor.model.port import FLOATING_IP, ROUTER_GATEWAY, ROUTER_INTERFACE
from polyvisor.model.record import Record
from polyvisor.network.backend import Records, Subject

PART_OF_ROUTERS = frozenset((ROUTER_INTERFACE, ROUTER_GATEWAY))
"""Owners of ports that come and go with their router."""


def has_something(records: Records, subject: Subject) -> Record | None:
    """The record that the subject is made from; None where it was removed, or is another subject's part."""
    if subject.unit is Unit.NETWORK:
        return records.networks.get(subject.id)
    if subject.unit is Unit.PORT:
        port = records.ports.get(subject.id)
        if port is None or port.device_owner in PART_OF_ROUTERS or port.device_owner == FLOATING_IP:
            return None
        return port
    if subject.unit is Unit.ROUTER:
        return records.routers.get(subject.id)
    if subject.unit is Unit.SECURITY_GROUP:
        return records.security_groups.get(subject.id)
    if subject.unit is Unit.ADDRESS_GROUP:
        return records.address_groups.get(subject.id)
    return None  # a QoS policy is part of the ports that have it
