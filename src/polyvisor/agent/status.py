"""What the agent tells the person at its host: a file, written every few seconds, that `agent status` reads."""

from datetime import datetime

import msgspec

from polyvisor.agent.files import STATUS, AgentFiles
from polyvisor.agent.private_file import write_private
from polyvisor.model.record import Record


class PlaceStatus(Record):
    """One of its places."""

    name: str
    driver: str
    role: str
    """"active", "standby", "refused", or "unknown" while no server answers."""
    epoch: int = 0
    held_seconds: float = 0.0
    """For how long it is still this agent's, if no further beat is answered."""
    trouble: str = ""
    """Why it could not be served now; empty when it could."""
    fence_seconds: float = 0.0
    """Cut off for so long, the agent turns the place's guests off. 0 = never."""
    fenced: bool = False
    """They were turned off."""


class Status(Record):
    """The whole agent, when it was written."""

    name: str
    agent_id: str
    cloud_id: str
    running: bool
    pid: int = 0
    version: str = ""
    certificate_until: datetime
    servers: tuple[str, ...] = ()
    server: str = ""
    """The one that is asked first now."""
    trouble: str = ""
    """Why the last beat was not answered; empty when it was."""
    steps: int = 0
    """How many steps are at work."""
    places: tuple[PlaceStatus, ...] = ()
    written_at: datetime | None = None


def write(files: AgentFiles, status: Status) -> None:
    """Write it. A status is not worth an fsync, nor an error."""
    try:
        write_private(files.path(STATUS), msgspec.json.encode(status), durable=False)
    except OSError:
        return


def read(files: AgentFiles) -> Status:
    """What the running agent has written last; of one that does not run, who it is. Raises Invalid."""
    identity, running = files.identity(), files.running()
    plain = Status(
        name=identity.name, agent_id=identity.agent_id, cloud_id=identity.cloud_id, running=running,
        certificate_until=files.certificate().not_valid_after_utc, servers=files.servers(),
    )  # fmt: skip
    if not running:
        return plain
    try:
        return msgspec.json.decode(files.path(STATUS).read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        return plain
