"""The helpers of lists and times, by themselves."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from polyvisor.api.kit.filters import comparison, one_of
from polyvisor.api.kit.paging import sort_pairs, sort_string
from polyvisor.api.kit.query import Page, parser
from polyvisor.api.kit.schema import decoder
from polyvisor.api.kit.times import parse, plain_micros, zulu, zulu_micros
from polyvisor.model.errors import Invalid

KEYS = ("name", "size", "created_at")
DEFAULT = [("created_at", "desc"), ("id", "desc")]


@pytest.mark.parametrize(
    ("keys", "ways", "pairs"),
    [
        ([], [], DEFAULT),
        ([], ["asc"], [("created_at", "asc"), ("id", "asc")]),
        (["name"], [], [("name", "asc")]),
        (["name", "size"], ["desc"], [("name", "desc"), ("size", "desc")]),
        (["name", "size"], ["desc", "asc"], [("name", "desc"), ("size", "asc")]),
    ],
)
def test_sort_keys_and_directions_pair_up(keys: list[str], ways: list[str], pairs: list[tuple[str, str]]) -> None:
    assert sort_pairs(keys, ways, KEYS, DEFAULT) == pairs


@pytest.mark.parametrize(("keys", "ways"), [(["color"], []), (["name"], ["up"]), (["name"], ["asc", "desc"])])
def test_unknown_keys_and_directions_are_refused(keys: list[str], ways: list[str]) -> None:
    with pytest.raises(Invalid):
        sort_pairs(keys, ways, KEYS, DEFAULT)


def test_glances_sort_is_read() -> None:
    assert sort_string("name:asc,size", KEYS) == [("name", "asc"), ("size", "desc")]
    with pytest.raises(Invalid, match="sort_dir"):
        sort_string("name:up", KEYS)
    with pytest.raises(Invalid, match="created_at, name, size"):
        sort_string("color:asc", KEYS)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("5", ("eq", "5")),
        ("gte:5", ("gte", "5")),
        ("2026-11-21T04:00:00Z", ("eq", "2026-11-21T04:00:00Z")),
        ("lt:2026-11-21T04:00:00Z", ("lt", "2026-11-21T04:00:00Z")),
    ],
)
def test_a_comparison_stands_before_its_value(text: str, found: tuple[str, str]) -> None:
    assert comparison(text, "size") == found


def test_a_comparison_that_is_not_taken_is_refused() -> None:
    with pytest.raises(Invalid, match=r"'size'.*'neq'"):
        comparison("neq:5", "size", ("gt", "lt"))
    with pytest.raises(Invalid):
        comparison("in:a,b", "size")


def test_one_of_reads_lists_with_quotes() -> None:
    assert one_of("plain", "name") is None
    assert one_of('in:a,"b,c",d', "name") == ("a", "b,c", "d")
    with pytest.raises(Invalid, match="quotes"):
        one_of('in:a,"b', "name")


def test_times_are_written_and_read() -> None:
    moment = datetime(2026, 11, 21, 4, 0, 0, 5, UTC)
    assert zulu(moment) == "2026-11-21T04:00:00Z"
    assert zulu_micros(moment) == "2026-11-21T04:00:00.000005Z"
    assert plain_micros(moment) == "2026-11-21T04:00:00.000005"
    for text in ("2026-11-21T04:00:00.000005Z", "2026-11-21T04:00:00.000005", "2026-11-21T06:00:00.000005+02:00",
                 "2026-11-21T06:00:00.000005 02:00", "2026-11-21 04:00:00.000005"):  # fmt: skip
        assert parse(text, "at") == moment, text
    assert parse("2026-11-21", "at") == datetime(2026, 11, 21, tzinfo=UTC)
    with pytest.raises(Invalid, match="'at'"):
        parse("yesterday", "at")
    assert parse("2026-11-21T04:00:00+01:00", "at").tzinfo is not timezone(timedelta(hours=1))


class Query(Page, frozen=True, kw_only=True):
    name: str | None = None
    tag: list[str] = []
    enabled: bool | None = None
    size: int | None = None


def test_a_query_is_read_with_its_types() -> None:
    read = parser(Query)
    assert read("") == Query()
    assert read("limit=2&marker=x&name=a%20b&tag=1&tag=2&enabled=ON&size=5") == Query(
        limit=2, marker="x", name="a b", tag=["1", "2"], enabled=True, size=5
    )
    assert read("enabled").enabled is True
    assert read("enabled=No").enabled is False


@pytest.mark.parametrize(
    ("query", "named"),
    [("size=x", "size"), ("limit=-1", "limit"), ("enabled=2", "enabled"), ("a=1", "a"), ("name=1&name=2", "name")],
)
def test_a_wrong_query_is_refused_by_the_parameters_name(query: str, named: str) -> None:
    with pytest.raises(Invalid, match=f"'{named}'"):
        parser(Query)(query)


def test_a_query_of_a_route_without_parameters_is_passed_over() -> None:
    assert parser(Query, ignore_unknown=True)("color=red&name=x").name == "x"


class Body(msgspec.Struct, forbid_unknown_fields=True):
    tags: list[str] = []
    sizes: dict[str, int] = {}
    either: int | str | None = None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"tags": ["a", 1]}', "The field 'tags[1]' is invalid: a string is expected, not an integer."),
        (b'{"sizes": {"a": "b"}}', "The field 'sizes[...]' is invalid: an integer is expected, not a string."),
        (b'{"either": []}', "an integer or a string or null is expected, not a list."),
        (b'{"tags": null}', "a list is expected, not null."),
        (b"", "The body is not valid JSON"),
        (b'{"tags": []} x', "The body is not valid JSON: trailing characters"),
    ],
)
def test_a_sentence_names_the_field_and_what_is_expected(raw: bytes, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        decoder(Body, None)(raw)
    assert words in refused.value.sentence
