"""A user changes its own password."""

import msgspec

from polyvisor.api.identity.login import check_password
from polyvisor.api.identity.user import Password, hash_new
from polyvisor.api.kit import PUBLIC, Call, Reply, Resource
from polyvisor.model.errors import Invalid

passwords = Resource("/users/{id}/password")


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    """The old password, which is the proof, and the new one."""

    password: Password
    original_password: Password


@passwords.route("POST", policy=PUBLIC, body=PasswordChange, key="user", transaction=False, slow=True)
def change(call: Call) -> Reply:
    """Set a new password. Every token of the user is void with it, also the one that asked."""
    body: PasswordChange = call.body
    user_id = call.path["id"]
    with call.database.read() as store:
        record = store.user.find(user_id)
        failures = store.user.failures(user_id)
        home = store.domain.find(record.domain_id) if record is not None else None
    usable = record if record is not None and record.enabled and home is not None and home.enabled else None
    check_password(call, user_id[:64], usable, failures, body.original_password)
    if body.password == body.original_password:
        raise Invalid("The field 'user.password' is invalid: the new password is the old one.")
    hashed = hash_new(call, body.password)
    with call.database.write() as store:
        store.user.update(store.user.get(user_id), {"password_hash": hashed})
    return Reply(204)
