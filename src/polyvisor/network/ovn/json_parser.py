"""A JSON parser for Open vSwitch's client, in the place of its own, which takes eight seconds for a megabyte.

The client comes with two parsers that stand in for each other: one in C, which is there only where it was built beside
Open vSwitch's library, and one that goes from character to character in Python. This one has their interface. It finds
where a message ends, and leaves the rest to Python's own parser.
"""

import json
import re
from typing import Any

import ovs.json

# A whole string, or a bracket, or a quotation mark whose string ends in a later piece.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]|"', re.DOTALL)


class MessageParser:
    """One message, of which pieces are fed as they arrive."""

    def __init__(self, check_trailer: bool = False) -> None:
        self._pieces: list[str] = []
        self._begun = ""
        """The beginning of a string that has not ended yet."""
        self._depth = 0
        self._done = False

    def feed(self, piece: str) -> int:
        """Take what belongs to the message; how many characters of the piece that is."""
        if self._done:
            return 0
        text, before = self._begun + piece, len(self._begun)
        self._begun = ""
        for token in _TOKEN.finditer(text):
            found = token[0]
            if found in "[{":
                self._depth += 1
            elif found in "]}":
                self._depth -= 1
                if self._depth <= 0:
                    self._done = True
                    self._pieces.append(text[: token.end()])
                    return token.end() - before
            elif found == '"':
                self._begun = text[token.start() :]
                text = text[: token.start()]
                break
        self._pieces.append(text)
        return len(piece)

    def is_done(self) -> bool:
        """Whether the message is whole."""
        return self._done

    def finish(self) -> Any:
        """The message; or, as text, what is wrong with it."""
        try:
            return json.loads("".join(self._pieces) + self._begun)
        except ValueError as error:
            return str(error)


def use_fast_parser() -> None:
    """For every connection of this process, unless the client's own in C is there."""
    if ovs.json.PARSER == ovs.json.PARSER_PY:
        ovs.json.Parser = MessageParser
