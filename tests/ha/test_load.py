"""The load's own bookkeeping: what got no answer is found again, and never counted twice."""

from ha.client import Client
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
    assert load.ledger.undecided == set()
