"""Places as the store has them: who serves each, and until when nobody else may."""

from datetime import datetime

from polyvisor.model.record import Record


class HeldPlace(Record):
    """A hypervisor connection, and the process that holds it."""

    name: str
    driver: str = ""
    """The driver's kind: "kvm", "vsphere", "simulated"."""
    holder: str = ""
    """`Party.owner` of the process that holds it, or held it last."""
    agent_id: str = ""
    """That process's agent; empty for `polyvisor up`."""
    epoch: int = 0
    """Grows each time the place goes to another process."""
    held_until: datetime
    """Until then nobody else takes it; its holder may prolong it even later, while nobody has."""
    seen_at: datetime
    """When its holder last gave a sign of life."""
    notes: dict[str, str] = {}
    """What whoever serves it must remember, as the one before has noted it."""

    def is_held(self, now: datetime) -> bool:
        """Whether a process holds it at the moment `now`."""
        return bool(self.holder) and self.held_until > now
