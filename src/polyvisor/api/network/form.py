"""What requests and answers of all resources have in common, as Neutron has them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import UNSET

from polyvisor.api.kit import Call, Reply, Rule
from polyvisor.api.kit.schema import sentence
from polyvisor.api.kit.times import parse, zulu
from polyvisor.api.network.fields import given, invalid, truth
from polyvisor.model.errors import Forbidden, Invalid, PreconditionFailed
from polyvisor.model.network_list import NetworkList
from polyvisor.model.network_standard import Standard
from polyvisor.model.rbac_policy import AS_SHARED, EVERYBODY
from polyvisor.store.network_standard import TAG_FILTERS, StandardNoun

R = TypeVar("R", bound=Standard)
ADMIN = "rule:context_is_admin"
MEMBER = "rule:project_member_or_admin"
READER = "rule:project_reader_or_admin"
STANDARD = ("id", "name", "description", "project_id")
"""Fields of every record that lists can be narrowed to and sorted by."""
_OF_LIST = ("fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse", "changed_since")


def body_of(name: str, plural: str, kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The body that makes one record, {"port": {…}}, or several, {"ports": [{…}, …]}.

    Neutron takes each of several in a wrapping of its own as well: {"ports": [{"port": {…}}, …]}.
    """
    fields: list[Any] = [
        (name, kind | msgspec.UnsetType, UNSET),
        (plural, list[msgspec.Raw] | msgspec.UnsetType, UNSET),
    ]
    return msgspec.defstruct(f"{name}_bodies", fields, forbid_unknown_fields=True, namespace={"each": kind})


def each_of(body: msgspec.Struct) -> tuple[list[Any], bool]:
    """The records that a body of `body_of` asks for, and whether they came as a list. Raises Invalid."""
    [(name, value), *more] = list(given(body).items()) or [("", UNSET)]
    if value is UNSET or more:
        one, several = body.__struct_fields__
        raise Invalid(f"The field '{one}' is required, or '{several}' with a list.")
    if isinstance(value, list):
        if not value:
            raise Invalid(f"The field '{name}' is invalid: at least one is expected.")
        single, kind = body.__struct_fields__[0], type(body).each  # type: ignore[attr-defined]
        return [_item(raw, single, kind, f"{name}[{at}]") for at, raw in enumerate(value)], True
    return [value], False


def _item(raw: msgspec.Raw, name: str, kind: type[msgspec.Struct], where: str) -> Any:
    """One of several records, with or without its wrapping. Raises Invalid, and says which one it is."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        inner = _wrapped(raw, name) if name else None
        if inner is not None:
            return _item(inner, "", kind, f"{where}.{name}")
        raise Invalid(sentence(error, where)) from None


def _wrapped(raw: msgspec.Raw, name: str) -> msgspec.Raw | None:
    """What stands under this key, where it is the only one."""
    with suppress(msgspec.ValidationError):
        found = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        if list(found) == [name]:
            return found[name]
    return None


def made(name: str, plural: str, shown: Sequence[dict[str, Any]], *, several: bool) -> Reply:
    """The answer to a body of `body_of`."""
    return Reply(201, {plural: list(shown)} if several else {name: shown[0]})


def standard(record: Standard) -> dict[str, Any]:
    """The standard attributes."""
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "tenant_id": record.project_id,
        "project_id": record.project_id,
        "created_at": zulu(record.created_at),
        "updated_at": zulu(record.updated_at),
        "revision_number": record.revision_number,
        "tags": list(record.tags),
    }


def selected(call: Call, shown: dict[str, Any]) -> dict[str, Any]:
    """Of a record, what `?fields=id&fields=name` asks for; all of it where nothing is asked."""
    wanted = [value for name, value in parse_qsl(call.request.raw_query) if name == "fields"]
    return {name: shown[name] for name in wanted if name in shown} if wanted else shown


def project_of(call: Call, values: dict[str, Any]) -> str:
    """The project that a new record is for; `project_id` and `tenant_id` are taken out of `values`."""
    named = {values.pop(name) for name in ("project_id", "tenant_id") if name in values} - {None}
    if len(named) > 1:
        raise invalid("'project_id' and 'tenant_id' name different projects: give one of them.")
    if named - {call.project_id} and not call.is_admin:
        raise Invalid(
            "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin "
            "privileges: leave it out.",
            kind="HTTPBadRequest",
        )
    return str(named.pop()) if named else call.project_id


def require_each(call: Call, rule: str, names: Iterable[str], known: Iterable[str], target: Mapping[str, Any]) -> None:
    """Enforce `create_network:shared` for each field of a body that has a rule of its own."""
    rules = frozenset(known)
    for name in names:
        if f"{rule}:{name}" in rules:
            call.require(f"{rule}:{name}", target)


def restricted(verb: str, noun: str, checks: Mapping[str, str]) -> list[Rule]:
    """Rules for fields of their own: `create_network:shared`."""
    says = {
        "create": "Make a {noun} with a value of its own for {field}.",
        "update": "Change {field} of a {noun}.",
        "get": "See {field} of a {noun}.",
    }
    return [
        Rule(
            name=f"{verb}_{noun}:{field}",
            check=check,
            description=says[verb].format(noun=noun.replace("_", " "), field=field),
        )
        for field, check in checks.items()
    ]


def names_of(rules: Iterable[Rule]) -> frozenset[str]:
    """The names of rules, for `require_each`."""
    return frozenset(rule.name for rule in rules)


def check_revision(call: Call, record: Standard) -> None:
    """Raise PreconditionFailed where `If-Match: revision_number=N` names another revision. Each change asks it."""
    wanted = call.headers.get("if-match")
    if wanted is None:
        return
    name, _, text = wanted.strip().strip('"').partition("=")
    if name.strip() != "revision_number" or not text.strip().removeprefix("-").isdigit():
        raise Invalid("The header If-Match is invalid: revision_number=N is expected.")
    if int(text) != record.revision_number:
        raise PreconditionFailed(
            f"Constrained to {text.strip()}, but current revision is {record.revision_number}: look at it again.",
            kind="RevisionNumberConstraintFailed",
        )


def for_change(call: Call, noun: StandardNoun[R], rule: str) -> R:
    """The record of the path, to be changed or deleted by its project. Raises NotFound, Forbidden, and
    PreconditionFailed where the caller means another revision of it.

    What is another project's, and not shared with everybody, cannot be found for a change, as in Neutron, although it
    may be seen by a project that it is shared with.
    """
    record = noun.get(call.path["id"], viewer=call.owner)
    try:
        call.require(rule, {"project_id": record.project_id})
    except Forbidden:
        shared = noun.object_type is not None and EVERYBODY in call.store.rbac_policy.targets(record.id, AS_SHARED)
        if shared or record.project_id == call.project_id:
            raise
        raise noun.not_found(record.id) from None
    check_revision(call, record)
    return record


# Lists


def asked(call: Call, filters: Mapping[str, str], sortable: Iterable[str]) -> NetworkList:
    """What a list is asked for. `filters`: from the API's names to the store's. Raises Invalid."""
    single: dict[str, str] = {}
    wanted: dict[str, list[str]] = {}
    keys: list[str] = []
    ways: list[str] = []
    for name, value in parse_qsl(call.request.raw_query, keep_blank_values=True):
        if name in filters or name in TAG_FILTERS:
            wanted.setdefault(filters.get(name, name), []).append(value)
        elif name == "sort_key":
            keys.append("project_id" if value == "tenant_id" else value)
        elif name == "sort_dir":
            ways.append(value)
        elif name in _OF_LIST:
            single[name] = value
        else:
            raise Invalid(
                f"['{name[:64]}'] is invalid attribute for filtering. Known are: {', '.join(sorted(filters))}.",
                kind="HTTPBadRequest",
            )
    since = single.get("changed_since")
    return NetworkList(
        viewer=call.owner,
        filters=tuple((name, tuple(values)) for name, values in wanted.items()),
        changed_since=None if since is None else parse(since, "changed_since"),
        sort=_sort(keys, ways, frozenset(sortable)),
        limit=_limit(single.get("limit")),
        marker=single.get("marker") or None,
        reverse=truth(single.get("page_reverse") or "false", "page_reverse"),
    )


def _sort(keys: list[str], ways: list[str], known: frozenset[str]) -> tuple[tuple[str, str], ...]:
    if len(ways) != len(keys) and ways:
        raise Invalid("The number of sort_keys and sort_dirs must be same.")
    for key in keys:
        if key not in known:
            raise Invalid(f"['{key[:64]}'] is invalid attribute for sort_keys. Known are: {', '.join(sorted(known))}.")
    for way in ways:
        if way not in ("asc", "desc"):
            raise Invalid(f"'{way[:64]}' is invalid for sort_dir: asc or desc is expected.")
    return tuple((key, ways[at] if ways else "asc") for at, key in enumerate(keys))


def _limit(text: str | None) -> int | None:
    """The page size; none and 0 = everything, as Neutron has it."""
    if text is None:
        return None
    if not text.isdigit() or len(text) > 9:
        raise Invalid(f"Limit must be an integer 0 or greater and not '{text[:64]}'.")
    return int(text) or None


def listed(call: Call, plural: str, by: NetworkList, shown: Sequence[dict[str, Any]], ids: Sequence[str]) -> Reply:
    """The answer of a list, with links to the pages beside this one."""
    body: dict[str, Any] = {plural: [selected(call, each) for each in shown]}
    if by.limit is not None:
        full = len(ids) == by.limit
        links = []
        if full or by.reverse:
            links.append({"rel": "next", "href": _page(call, ids[-1:], reverse=False)})
        if full if by.reverse else by.marker is not None:
            links.append({"rel": "previous", "href": _page(call, ids[:1], reverse=True)})
        if links:
            body[f"{plural}_links"] = links
    return Reply(200, body)


def _page(call: Call, beside: Sequence[str], *, reverse: bool) -> str:
    """The address of the page beside an item; beside none, the first one, or with `reverse` the last one."""
    pairs = [
        pair
        for pair in parse_qsl(call.request.raw_query, keep_blank_values=True)
        if pair[0] not in ("marker", "page_reverse")
    ]
    pairs += [("marker", id) for id in beside]
    if reverse:
        pairs.append(("page_reverse", "True"))
    return f"{call.request.base_url}{call.request.path}?{urlencode(pairs)}"


def listing(
    call: Call,
    plural: str,
    find: Callable[[NetworkList], Sequence[R]],
    view: Callable[[Call, R], dict[str, Any]],
    filters: Mapping[str, str],
    sortable: Iterable[str],
) -> Reply:
    """A whole list: asked for, found by one statement, shown."""
    by = asked(call, filters, sortable)
    found = find(by)
    return listed(call, plural, by, [view(call, each) for each in found], [each.id for each in found])


def filters_of(*names: str, **other: str) -> dict[str, str]:
    """Filters by the API's names: the standard ones, `names` that the store calls so too, and `other`."""
    return {**{name: name for name in (*STANDARD, "revision_number", *names)}, "tenant_id": "project_id", **other}
