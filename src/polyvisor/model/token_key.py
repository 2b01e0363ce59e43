"""Keys that seal tokens: staged, then primary, then secondary until nothing sealed with them is valid."""

from datetime import datetime

from polyvisor.model.record import Record


class TokenKey(Record):
    """A Fernet key."""

    id: str
    secret: str
    """32 bytes in URL-safe base64."""
    created_at: datetime
    primary_at: datetime | None = None
    retired_at: datetime | None = None

    @property
    def state(self) -> str:
        """ "staged" (known everywhere before it seals), "primary" (seals) or "secondary" (only opens)."""
        if self.primary_at is None:
            return "staged"
        return "primary" if self.retired_at is None else "secondary"
