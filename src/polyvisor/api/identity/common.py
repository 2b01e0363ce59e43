"""What the Identity resources share: the forms of fields, lists with links, and the base policy rules."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from polyvisor.api.kit import Call, Reply, Rule
from polyvisor.api.kit.paging import next_url
from polyvisor.api.kit.schema import sentence
from polyvisor.model.errors import Invalid, NotFound
from polyvisor.model.record import Record

DEFAULT_DOMAIN = "default"
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\S")]
LongName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9-]+$")]
Description = Annotated[str, Meta(max_length=65_535)]
Options = dict[str, Any]
"""Keystone's resource options: taken, and without effect here."""
Maybe = UnsetType

ADMIN = "rule:admin_required"
READ = "rule:admin_required or (role:reader and system_scope:all)"

RULES = (
    Rule(name="admin_required", check="role:admin", description="Who administers identity."),
    Rule(
        name="token_subject",
        check="user_id:%(target.token.user_id)s",
        description="The user that a token belongs to.",
    ),
    Rule(
        name="domain_managed_target_role",
        check="'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s",
        description="The roles that a domain's manager may give and take.",
    ),
)

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
_OURS = frozenset(("id", "links", "password_expires_at"))
"""What clients send back of what they were shown: passed over."""


def domain_read(attribute: str) -> str:
    """Who may read what belongs to the domain that `attribute` of the target names."""
    return f"{READ} or (role:reader and domain_id:%({attribute})s)"


def domain_manage(attribute: str) -> str:
    """Who may change what belongs to the domain that `attribute` of the target names."""
    return f"{ADMIN} or (role:manager and domain_id:%({attribute})s)"


def guarded(call: Call, rule: str, record: T | None, target: Mapping[str, Any], missing: str) -> T:
    """The record, once policy allows `rule` on it.

    Whoever may not do it hears the same of a record that is missing and of one that is not theirs.
    """
    if record is None:
        call.require(rule, {})
        raise NotFound(missing)
    call.require(rule, target)
    return record


def home_domain(call: Call, asked: str | None) -> str:
    """The domain that a new thing goes to: what was asked, else the caller's own."""
    if asked is not None:
        return asked
    caller = call.caller
    if caller.domain_id is not None:
        return caller.domain_id
    return caller.project_domain.id if caller.project_domain is not None else DEFAULT_DOMAIN


def listed_domain(call: Call, asked: str | None) -> str | None:
    """The domain that a list is narrowed to: what was asked, else that of a token for a domain; None = all."""
    return asked if asked is not None else call.caller.domain_id


def fresh_id(call: Call) -> str:
    """An id in Keystone's form: 32 hexadecimal digits."""
    return call.new_id().replace("-", "")


def given(body: msgspec.Struct, *names: str) -> dict[str, Any]:
    """The fields of a body that were given, of those named."""
    return {name: value for name in names if (value := getattr(body, name)) is not UNSET}


@cache
def _wrapped(kind: type[S], noun: str) -> Any:
    return msgspec.defstruct(f"{noun}_body", [("value", kind, msgspec.field(name=noun))])


def with_extra(call: Call, kind: type[S], noun: str) -> tuple[S, dict[str, Any]]:
    """The body as `kind`, and what else it holds: attributes of the client's own, which Keystone keeps, too.

    Raises Invalid with a sentence that names the field.
    """
    body: dict[str, Any] = call.body
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    extra = {name: value for name, value in body.items() if name not in known and name not in _OURS}
    for name in extra:
        if not 0 < len(name) <= 255:
            raise Invalid(f"The name of an attribute of {noun} has 1 to 255 characters.")
    try:
        ours = msgspec.convert({noun: {name: body[name] for name in known & body.keys()}}, _wrapped(kind, noun))
    except msgspec.ValidationError as error:
        raise Invalid(sentence(error)) from None
    return ours.value, extra


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A client's own attributes after a change; null removes one."""
    return {name: value for name, value in {**old, **new}.items() if value is not None}


def links(call: Call, path: str) -> dict[str, str]:
    """A resource's link to itself."""
    return {"self": call.url(path)}


def page(call: Call, key: str, shown: Sequence[Any], records: Sequence[Any], limit: int | None) -> Reply:
    """A list with Keystone's links; `next` where the page is full."""
    full = limit is not None and records and len(records) >= limit
    following = next_url(call, records[-1].id) if full else None
    here = f"{call.request.base_url}{call.request.path}"
    query = f"?{call.request.raw_query}" if call.request.raw_query else ""
    return Reply(200, {key: list(shown), "links": {"self": here + query, "previous": None, "next": following}})


def limit_of(call: Call, asked: int | None) -> int | None:
    """The page size; None = all, as Keystone answers where nothing was asked."""
    return None if asked is None else min(asked, call.settings.max_limit)


def whole(call: Call, key: str, shown: Sequence[Any]) -> Reply:
    """A list that always comes whole."""
    here = f"{call.request.base_url}{call.request.path}"
    query = f"?{call.request.raw_query}" if call.request.raw_query else ""
    return Reply(200, {key: list(shown), "links": {"self": here + query, "previous": None, "next": None}})


def facts(record: Record, *names: str) -> dict[str, Any]:
    """Some fields of a record, by name."""
    return {name: getattr(record, name) for name in names}
