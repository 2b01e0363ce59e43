"""Key pairs: import or make, list, show, delete. They belong to users, not to projects."""

import re
from typing import Annotated, Any

import msgspec

from polyvisor.api.compute.keypair_key import fingerprint, generate
from polyvisor.api.kit import Call, NoQuery, Page, Reply, Resource, Rule
from polyvisor.api.kit.paging import limit_of, next_links
from polyvisor.api.kit.times import plain_micros
from polyvisor.model.errors import Invalid
from polyvisor.model.keypair import Keypair, KeyType

keypairs = Resource("/os-keypairs")

_KEYPAIRS = "os_compute_api:os-keypairs"
_OWNER = "rule:context_is_admin or user_id:%(user_id)s"
RULES = [
    Rule(name=f"{_KEYPAIRS}:index", check=_OWNER, description="List a user's key pairs."),
    Rule(name=f"{_KEYPAIRS}:show", check=_OWNER, description="Show one of a user's key pairs."),
    Rule(name=f"{_KEYPAIRS}:create", check=_OWNER, description="Import or make a key pair for a user."),
    Rule(name=f"{_KEYPAIRS}:delete", check=_OWNER, description="Delete one of a user's key pairs."),
]

_NAME = re.compile(r"[a-zA-Z0-9 _-]{1,255}")
_NAME_FROM_292 = re.compile(r"[a-zA-Z0-9 _@.-]{1,255}")
UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class NewKeypair(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The `keypair` of a request to import or make one."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    public_key: str | None = None


class NewKeypairFrom22(NewKeypair, forbid_unknown_fields=True, kw_only=True):
    """From 2.2: a type."""

    type: KeyType = KeyType.SSH


class NewKeypairFrom210(NewKeypairFrom22, forbid_unknown_fields=True, kw_only=True):
    """From 2.10: for another user."""

    user_id: UserId | None = None


class NewKeypairFrom292(NewKeypairFrom210, forbid_unknown_fields=True, kw_only=True):
    """From 2.92: nobody but the user makes the key."""

    public_key: str


class UserQuery(NoQuery, frozen=True, kw_only=True):
    """Whose key pairs, for administrators."""

    user_id: UserId | None = None


class PageQuery(Page, frozen=True, kw_only=True):
    """Whose key pairs, and how many."""

    user_id: UserId | None = None


_BODIES = {(2, 1): NewKeypair, (2, 2): NewKeypairFrom22, (2, 10): NewKeypairFrom210, (2, 92): NewKeypairFrom292}


@keypairs.route("GET", policy=f"{_KEYPAIRS}:index", checked_by_handler=True, ignore_unknown_query=True, last=(2, 9))
@keypairs.route(
    "GET", policy=f"{_KEYPAIRS}:index", checked_by_handler=True, query=UserQuery, ignore_unknown_query=True,
    first=(2, 10), last=(2, 34),
)  # fmt: skip
@keypairs.route(
    "GET", policy=f"{_KEYPAIRS}:index", checked_by_handler=True, query=PageQuery, ignore_unknown_query=True,
    first=(2, 35), last=(2, 74),
)  # fmt: skip
@keypairs.route("GET", policy=f"{_KEYPAIRS}:index", checked_by_handler=True, query=PageQuery, first=(2, 75))
def index(call: Call) -> Reply:
    """A user's key pairs."""
    user_id = _user(call, "index", getattr(call.query, "user_id", None))
    if not isinstance(call.query, PageQuery):
        return Reply(200, {"keypairs": [{"keypair": _brief(call, one)} for one in call.store.keypair.list(user_id)]})
    limit = limit_of(call, call.query.limit)
    found = call.store.keypair.list(user_id, marker=call.query.marker, limit=limit)
    pages = next_links(call, "keypairs", [one.name for one in found], limit)
    return Reply(200, {"keypairs": [{"keypair": _brief(call, one)} for one in found], **pages})


@keypairs.route(
    "GET", "/{name}", policy=f"{_KEYPAIRS}:show", checked_by_handler=True, ignore_unknown_query=True, last=(2, 9)
)
@keypairs.route(
    "GET", "/{name}", policy=f"{_KEYPAIRS}:show", checked_by_handler=True, query=UserQuery, ignore_unknown_query=True,
    first=(2, 10), last=(2, 74),
)  # fmt: skip
@keypairs.route("GET", "/{name}", policy=f"{_KEYPAIRS}:show", checked_by_handler=True, query=UserQuery, first=(2, 75))
def show(call: Call) -> Reply:
    """One key pair."""
    found = call.store.keypair.get(_user(call, "show", getattr(call.query, "user_id", None)), call.path["name"])
    shown = {
        **_brief(call, found),
        "id": found.id,
        "user_id": found.user_id,
        "created_at": plain_micros(found.created_at),
        "updated_at": None,
        "deleted": False,
        "deleted_at": None,
    }
    return Reply(200, {"keypair": shown})


@keypairs.route(
    "POST", policy=f"{_KEYPAIRS}:create", checked_by_handler=True, body=_BODIES, key="keypair", transaction=False
)
def create(call: Call) -> Reply:
    """Import a public key, or make a pair and hand out its private key, once."""
    asked: NewKeypair = call.body
    user_id = _user(call, "create", getattr(asked, "user_id", None))
    _check_name(call, asked.name)
    kind: KeyType = getattr(asked, "type", KeyType.SSH)
    private_key: str | None = None
    public_key = asked.public_key
    if public_key is None:
        public_key, private_key = generate(kind, user_id, call.now)
    record = Keypair(
        user_id=user_id,
        name=asked.name,
        type=kind,
        public_key=public_key,
        fingerprint=fingerprint(kind, public_key),
        created_at=call.now,
    )
    with call.database.write() as store:
        store.quota.check_keypairs(call.caller.project_id or "", store.keypair.count(user_id))
        store.keypair.create(record)
    shown = {**_brief(call, record), "user_id": user_id}
    if private_key is not None:
        shown["private_key"] = private_key
    return Reply(200 if call.version < (2, 2) else 201, {"keypair": shown})


@keypairs.route(
    "DELETE", "/{name}", policy=f"{_KEYPAIRS}:delete", checked_by_handler=True, ignore_unknown_query=True, last=(2, 9)
)
@keypairs.route(
    "DELETE", "/{name}", policy=f"{_KEYPAIRS}:delete", checked_by_handler=True, query=UserQuery,
    ignore_unknown_query=True, first=(2, 10), last=(2, 74),
)  # fmt: skip
@keypairs.route(
    "DELETE", "/{name}", policy=f"{_KEYPAIRS}:delete", checked_by_handler=True, query=UserQuery, first=(2, 75)
)
def delete(call: Call) -> Reply:
    """Delete a key pair; servers made with it keep the key."""
    user_id = _user(call, "delete", getattr(call.query, "user_id", None))
    call.store.keypair.delete(user_id, call.path["name"])
    return Reply(202 if call.version < (2, 2) else 204)


def _user(call: Call, verb: str, asked: str | None) -> str:
    """Whose key pairs the request is about: the caller's, or the named user's where policy allows it."""
    user_id = asked or call.caller.user_id
    call.require(f"{_KEYPAIRS}:{verb}", {"user_id": user_id})
    return user_id


def _check_name(call: Call, name: str) -> None:
    allowed, told = (_NAME, "") if call.version < (2, 92) else (_NAME_FROM_292, ", '@', '.'")
    if allowed.fullmatch(name) is None or name != name.strip():
        raise Invalid(
            f"The field 'keypair.name' is invalid: letters, digits, spaces, '-', '_'{told} are expected, "
            f"and no space at either end."
        )


def _brief(call: Call, keypair: Keypair) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": keypair.name,
        "public_key": keypair.public_key,
        "fingerprint": keypair.fingerprint,
    }
    if call.version >= (2, 2):
        shown["type"] = keypair.type
    return shown
