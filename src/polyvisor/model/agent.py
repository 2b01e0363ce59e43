"""Agents: the processes beside hypervisors that serve places, what they may serve, and who signed for them."""

from datetime import datetime

from polyvisor.model.record import Record


class Agent(Record):
    """An agent that has joined the cloud."""

    id: str
    """32 hexadecimal digits; its certificate's common name."""
    name: str
    """Unique in the cloud; usually the machine's."""
    sessions: tuple[str, ...] = ()
    """Its processes, the present one first; what an earlier one still says is refused."""
    version: str = ""
    """The program's, as its present process told it."""
    address: str = ""
    """Where it was last heard from."""
    certificate_serial: str
    """Hexadecimal: the newest certificate's. Only that one is taken, and for a while the one before."""
    certificate_until: datetime
    former_serial: str = ""
    former_until: datetime | None = None
    """Until when the certificate before the newest is taken as well."""
    created_at: datetime
    seen_at: datetime
    revoked_at: datetime | None = None


class Party(Record):
    """Who asks something of the gate: one process of an agent, or this process itself."""

    agent_id: str = ""
    """Empty for the workers of `polyvisor up`, which the gate lives beside."""
    session: str
    """Tells the processes of one agent apart; 8 to 36 letters, digits and dashes."""
    serial: str = ""
    """Of the certificate that it showed, in hexadecimal."""
    address: str = ""
    version: str = ""

    @property
    def owner(self) -> str:
        """The name under which it holds places and steps: at most 64 characters."""
        if not self.agent_id:
            return self.session
        return f"{self.agent_id}:{self.session.replace('-', '')[:31]}"


class AgentPlace(Record):
    """A place that an agent may serve, and how it stands with it."""

    agent_id: str
    place: str
    seen_at: datetime | None = None
    """When the agent last offered to serve it."""
    trouble: str = ""
    """Why it could not serve the place just now, in a sentence."""


class JoinToken(Record):
    """Lets one agent join, once. Its secret is kept as a hash alone."""

    id: str
    secret_hash: str
    """SHA-256 in hexadecimal: the secret is 32 random bytes, so nothing slower is needed."""
    agent_name: str = ""
    """The only name the agent may take; empty = any."""
    places: tuple[str, ...] = ()
    """Places of others that it may serve too: that is how a standby joins."""
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    used_by: str = ""
    """The id of the agent that joined with it."""

    def state(self, now: datetime) -> str:
        """ "used", "expired" or "valid"."""
        if self.used_at is not None:
            return "used"
        return "expired" if self.expires_at <= now else "valid"


class Authority(Record):
    """The cloud's own certificate authority, which signs for its agents and for the listeners they dial."""

    certificate: str
    """PEM."""
    key: str
    """PEM; as secret as the keys that seal tokens."""
    created_at: datetime
