"""A server's password: what its guest has posted, encrypted by the public key of the server's key pair."""

from polyvisor.api.kit import Call, Reply, Resource, Rule
from polyvisor.model.server import Server

server_passwords = Resource("/servers")

_POLICY = "os_compute_api:os-server-password"
RULES = [
    Rule(
        name=f"{_POLICY}:show",
        check="rule:project_reader_or_admin",
        description="Read the encrypted password that a server's guest has posted.",
    ),
    Rule(
        name=f"{_POLICY}:clear",
        check="rule:project_member_or_admin",
        description="Forget the password that a server's guest has posted, so that it may post another.",
    ),
]


@server_passwords.route("GET", "/{id}/os-server-password", policy=f"{_POLICY}:show")
def show(call: Call) -> Reply:
    """As the guest has posted it; empty where it has posted none."""
    return Reply(200, {"password": call.store.server_password.get(_own(call).id)})


@server_passwords.route("DELETE", "/{id}/os-server-password", policy=f"{_POLICY}:clear")
def clear(call: Call) -> Reply:
    """Forget it. The guest's own password stays what it is."""
    call.store.server_password.clear(_own(call).id)
    return Reply(204)


def _own(call: Call) -> Server:
    return call.store.server.get(call.path["id"], project_id=call.owner)
