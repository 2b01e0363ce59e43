"""Projects that an administrator names in a request."""

from polyvisor.api.kit import Call
from polyvisor.model.errors import Invalid, NotFound


def existing(call: Call, project_id: str) -> str:
    """The id, once it is known that there is such a project. Raises Invalid."""
    try:
        return call.store.project.get(project_id).id
    except NotFound:
        raise Invalid(f"{project_id} is not the id of a project: the list of projects shows which there are.") from None
