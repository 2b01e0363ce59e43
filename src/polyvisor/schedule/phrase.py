"""How a refusal is worded for the user, of one host and of many."""

from typing import NamedTuple


class Phrase(NamedTuple):
    """What is said of hosts after their number: "1 host is down", "3 hosts are down"."""

    one: str
    many: str

    def said_of(self, count: int) -> str:
        """The form that goes with so many hosts."""
        return self.one if count == 1 else self.many


def same(text: str) -> Phrase:
    """A phrase that begins with a verb in the past, and so is the same for one and many."""
    return Phrase(text, text)
