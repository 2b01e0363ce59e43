"""What can go wrong, in the domain's own words; the API kit maps each to a status code."""


class PolyvisorError(Exception):
    """The base of every error whose sentence is meant for a user; the sentence says what to do."""

    def __init__(self, sentence: str, kind: str = "") -> None:
        """`kind`: what the Networking API calls this error, such as "SecurityGroupRuleExists"."""
        super().__init__(sentence)
        self.sentence = sentence
        self.kind = kind


class Invalid(PolyvisorError):
    """The request is malformed or contradicts itself (400)."""


class Unauthorized(PolyvisorError):
    """No valid token or credentials (401)."""


class Forbidden(PolyvisorError):
    """The caller is known, and may not do this (403)."""


class OverQuota(Forbidden):
    """The project's quota does not allow it (403, or 413 where the service says so)."""


class NotFound(PolyvisorError):
    """No such thing, or not for this caller (404)."""


class Conflict(PolyvisorError):
    """The thing is in a state that does not allow this (409)."""


class Gone(PolyvisorError):
    """The thing was there and has ended (410)."""


class PreconditionFailed(PolyvisorError):
    """The thing is not what the request takes it for (412)."""


class TooLarge(PolyvisorError):
    """The body is larger than allowed (413)."""


class Unsupported(PolyvisorError):
    """The media type is not one this resource takes (415)."""


class NotOffered(PolyvisorError):
    """The API has this, and nothing here does it (501)."""


class Unavailable(PolyvisorError):
    """A part that must answer does not, for now (503)."""


class NoHost(PolyvisorError):
    """No host fits. The sentence is for the user; `refusals` (host name → reason) is for the administrator."""

    def __init__(self, sentence: str, refusals: dict[str, str], by_filter: dict[str, int] | None = None) -> None:
        super().__init__(sentence)
        self.refusals = refusals
        self.by_filter = by_filter or {}
        """How many hosts each filter was the first to pass over."""
