"""QoS policies: how much a port may send and receive."""

from polyvisor.model.network_standard import Standard
from polyvisor.model.record import Record


class QosRule(Record):
    """A rule of a policy."""

    id: str
    kind: str
    """"bandwidth_limit" or "dscp_marking"."""
    direction: str = "egress"
    """As the server sees it."""
    max_kbps: int = 0
    max_burst_kbps: int = 0
    dscp_mark: int = 0


class QosPolicy(Standard):
    """A policy as the store has it."""

    shared: bool = False
    is_default: bool = False
    rules: tuple[QosRule, ...] = ()


BANDWIDTH_LIMIT = "bandwidth_limit"
DSCP_MARKING = "dscp_marking"
DSCP_MARKS = (0, *range(8, 42, 2), 44, 46, 48, 56)
"""The code points that a rule may set (RFC 2474, 2597, 3246, 5865)."""
