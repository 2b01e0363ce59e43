"""Role assignments: who has which role, where."""

from polyvisor.model.record import Record


class Assignment(Record):
    """One role, of a user or of a group, on a project, on a domain, or on the whole system."""

    role_id: str
    user_id: str | None = None
    group_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool = False
    """It holds on what is below the domain or project, not on that itself."""


class AssignmentFilter(Record):
    """What a list of assignments is narrowed to; None = not by this."""

    user_id: str | None = None
    group_ids: tuple[str, ...] | None = None
    """With `user_id`: those of the user or of one of these groups."""
    role_id: str | None = None
    project_ids: tuple[str, ...] | None = None
    domain_ids: tuple[str, ...] | None = None
    """With `project_ids`: those on one of these projects or domains."""
    system: bool | None = None
    inherited: bool | None = None
