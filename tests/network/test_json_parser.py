"""The parser that finds where messages end, however they are cut into pieces."""

import json
from typing import Any

import ovs.json
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvisor.network.ovn.json_parser import MessageParser, use_fast_parser

TEXT = st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from('"\\{}[],:\n'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1, max_size=3)


@given(MESSAGES, st.lists(st.integers(1, 40), min_size=1, max_size=8), st.booleans())
def test_messages_come_out_as_they_went_in(messages: list[Any], lengths: list[int], ascii: bool) -> None:
    stream = "\n".join(json.dumps(message, ensure_ascii=ascii) for message in messages)
    pieces: list[str] = []
    at = 0
    while at < len(stream):
        length = lengths[len(pieces) % len(lengths)]
        pieces.append(stream[at : at + length])
        at += length
    found, parser = [], MessageParser()
    for piece in pieces:
        while piece:
            piece = piece[parser.feed(piece) :]
            if parser.is_done():
                found.append(parser.finish())
                parser = MessageParser()
    assert found == messages


@pytest.mark.parametrize("broken", ["{]", '{"a" 1}', '{"a": tru}', 'x{"a": 1}', "]"])
def test_what_is_no_json_is_said_to_be_none(broken: str) -> None:
    parser = MessageParser()
    assert parser.feed(broken) == len(broken)
    assert parser.is_done()
    assert isinstance(parser.finish(), str)


def test_a_message_that_is_cut_off_is_not_done() -> None:
    parser = MessageParser()
    parser.feed('{"a": "b')
    assert not parser.is_done()
    assert isinstance(parser.finish(), str)


def test_the_client_uses_it_where_it_has_none_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ovs.json, "Parser", object())
    monkeypatch.setattr(ovs.json, "PARSER", ovs.json.PARSER_C)
    use_fast_parser()
    assert ovs.json.Parser is not MessageParser
    monkeypatch.setattr(ovs.json, "PARSER", ovs.json.PARSER_PY)
    use_fast_parser()
    assert ovs.json.Parser is MessageParser
