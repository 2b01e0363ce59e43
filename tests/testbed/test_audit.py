"""The audit: silent when all books agree, and each way in which they can disagree has its sentence."""

from dataclasses import replace

import pytest

from testbed import audit
from testbed.audit import Ledger, Look, Records, Server

HERE, THERE = "kvm-1", "kvm-2"
RUNS = Server("id-1", "one", "active", None, HERE, "host-1", "")
REFUSED = Server("id-2", "two", "error", None, None, None, "No host has room for it.")
RECORDS = Records(servers=(RUNS, REFUSED), claims={"id-1": "host-1"}, operations=(), miscounted=())
LEDGER = Ledger(created={"id-1": "one", "id-2": "two", "id-3": "three"}, deleted={"id-3"})
LOOKS = (Look(HERE, "guest", ("id-1",)), Look(HERE, "disk", ("id-1",)), Look(THERE, "guest", ()))


def servers(*changed: Server) -> Records:
    return replace(RECORDS, servers=changed)


def test_books_that_agree_give_no_sentence() -> None:
    assert audit.judge(LEDGER, RECORDS, LOOKS) == []


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        (servers(RUNS), "lost: server two (id-2) was answered with success, and is gone"),
        (
            servers(RUNS, REFUSED, replace(REFUSED, id="id-3", name="three")),
            "lost: the delete of server three (id-3) was answered with success, and it is there",
        ),
        (servers(RUNS, REFUSED, replace(REFUSED, id="id-4")), "doubled: there are 2 servers named two"),
        (
            servers(RUNS, REFUSED, replace(REFUSED, id="id-4", name="four")),
            "orphan: nobody asked for server four (id-4)",
        ),
        (servers(RUNS, replace(REFUSED, vm_state="building")), "lost: server two (id-2) is left building"),
        (
            servers(replace(RUNS, task_state="deleting"), REFUSED),
            "lost: server one (id-1) is left active, deleting",
        ),
        (servers(RUNS, replace(REFUSED, fault="")), "lost: server two (id-2) is in ERROR, and no reason is given"),
        (
            replace(RECORDS, claims={**RECORDS.claims, "id-3": "host-1"}),
            "orphan: a claim on host-1 is held for id-3, which is no server",
        ),
        (
            replace(RECORDS, claims={"id-1": "host-2"}),
            "orphan: a claim on host-2 is held for server id-1, which is on host-1",
        ),
        (replace(RECORDS, claims={}), "lost: server id-1 is on host-1, and holds no claim"),
        (replace(RECORDS, operations=("operation x is stuck",)), "operation x is stuck"),
        (replace(RECORDS, miscounted=("host h counts too much",)), "host h counts too much"),
    ],
)
def test_records_that_disagree_are_told(records: Records, sentence: str) -> None:
    assert sentence in audit.judge(LEDGER, records, LOOKS)


@pytest.mark.parametrize(
    ("look", "sentence"),
    [
        (Look(HERE, "guest", ()), "lost: server one (id-1) is ACTIVE, and has no guest at kvm-1"),
        (Look(HERE, "guest", ("id-1", "id-1")), "doubled: server one (id-1) has 2 guests at kvm-1"),
        (Look(HERE, "disk", ("id-1", "id-3")), "orphan: a disk at kvm-1 is that of id-3, which is no server"),
        (Look(THERE, "guest", ("id-1",)), "orphan: a guest at kvm-2 is that of id-1, which is at kvm-1"),
        (Look(HERE, "process", ("id-1", "id-2")), "orphan: a process at kvm-1 is that of id-2, which is at None"),
    ],
)
def test_what_hypervisors_hold_beside_the_records_is_told(look: Look, sentence: str) -> None:
    assert audit.judge(LEDGER, RECORDS, [look]) == [sentence]


def test_a_request_without_an_answer_may_have_come_true_or_not() -> None:
    ledger = Ledger(created={"id-1": "one"}, unanswered={"two", "never"}, undecided={"id-1"})
    assert audit.judge(ledger, RECORDS, LOOKS) == []
    assert audit.judge(ledger, servers(REFUSED), []) == [
        "orphan: a claim on host-1 is held for id-1, which is no server"
    ]


def test_sentences_are_counted_by_what_they_tell() -> None:
    told = ["lost: a", "lost: b", "doubled: c", "orphan: d", "operation e is stuck"]
    assert (audit.lost(told), audit.doubled(told), audit.orphans(told)) == (2, 1, 1)
