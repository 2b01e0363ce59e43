"""Application credentials: a secret of a user's for one project, with some of the user's roles there."""

from datetime import datetime

from polyvisor.model.record import Record


class ApplicationCredential(Record):
    """An application credential as the store has it."""

    id: str
    name: str
    user_id: str
    project_id: str
    secret_hash: str
    description: str | None = None
    role_ids: tuple[str, ...]
    expires_at: datetime | None = None
    unrestricted: bool = False
    """It may make and remove application credentials itself."""
    created_at: datetime
