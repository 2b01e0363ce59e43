"""Who is calling: a token, with the names and roles that it stands for now."""

from polyvisor.model.record import Record
from polyvisor.model.token import Token


class Named(Record):
    """A thing by id and name."""

    id: str
    name: str


class Caller(Record):
    """A valid token's user, scope and roles, as they are at this moment."""

    token: Token
    user_id: str
    user_name: str
    user_domain: Named
    project_id: str | None = None
    project_name: str | None = None
    project_domain: Named | None = None
    domain: Named | None = None
    """The scope, where it is a domain."""
    system: bool = False
    """The scope is the whole system."""
    roles: tuple[Named, ...] = ()
    """Roles on the scope, implied ones included, sorted by name."""
    role_names: frozenset[str] = frozenset()

    @property
    def domain_id(self) -> str | None:
        """The id of the scope's domain, where the scope is a domain."""
        return self.domain.id if self.domain else None
