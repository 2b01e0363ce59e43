"""The load's own bookkeeping: what got no answer is found again, and never counted twice."""

from typing import Any

import pytest
import requests

from ha.client import Client, NoAnswer, Refused
from ha.load import Load, Wish


def test_servers_that_got_no_answer_are_their_users_once_they_are_found() -> None:
    load = Load(lambda: Client([""], "", "", "", False), [Wish("user-1", "image", "flavor")], seed=1, pause_seconds=0)
    load.ledger.unanswered |= {"user-1-1", "user-1-2"}
    load.ledger.created["id-3"] = "user-1-3"
    load.ledger.undecided.add("id-3")
    load.ledger.created["id-4"] = "user-1-4"

    load.adopt({"id-1": "user-1-1", "id-3": "user-1-3", "id-4": "user-1-4"})

    assert load.ledger.created == {"id-1": "user-1-1", "id-3": "user-1-3", "id-4": "user-1-4"}
    assert load.ledger.unanswered == {"user-1-2"}
    assert load.ledger.undecided == {"id-3"}, "whoever was asked may still delete it"
    assert load._found == {"user-1": ["id-1", "id-3"]}

    load.adopt({"id-1": "user-1-1", "id-3": "user-1-3"})

    assert load._found == {"user-1": ["id-1", "id-3"]}, "each is given back once"


class Answering(Client):
    """A client whose requests end as the test says."""

    def __init__(self, *ends: Exception | None) -> None:
        super().__init__([""], "", "", "", False)
        self._ends = list(ends)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        end = self._ends.pop(0)
        if end is not None:
            raise end
        return requests.Response()


@pytest.mark.parametrize("end", [None, Refused("no such server", 404)])
def test_a_server_is_deleted_once_a_second_delete_is_answered(end: Exception | None) -> None:
    client = Answering(NoAnswer(), end)
    load = Load(lambda: client, [Wish("user-1", "image", "flavor")], seed=1, pause_seconds=0)
    load._delete(client, "id-1")
    assert (load.ledger.undecided, load.ledger.deleted) == ({"id-1"}, set())
    load._delete(client, "id-1")
    assert (load.ledger.undecided, load.ledger.deleted, load.refusals) == (set(), {"id-1"}, [])


@pytest.mark.parametrize(("before", "status"), [((NoAnswer(),), 409), ((), 404)])
def test_a_delete_that_is_refused_is_told_of(before: tuple[Exception, ...], status: int) -> None:
    client = Answering(*before, Refused("a sentence", status))
    load = Load(lambda: client, [Wish("user-1", "image", "flavor")], seed=1, pause_seconds=0)
    for _ in (*before, None):
        load._delete(client, "id-1")
    assert load.refusals == ["a sentence"]
    assert load.ledger.deleted == set()
