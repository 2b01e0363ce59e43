"""From records to rows: one function for each kind of subject, and nothing but its arguments decides what it gives."""

from collections.abc import Callable, Iterable, Iterator

from polyvisor.model.network_intent import Unit
from polyvisor.network.backend import Subject
from polyvisor.network.ovn import address_group, port, router, security_group, switch
from polyvisor.network.ovn.row import Row
from polyvisor.network.ovn.security_group import DROP_GROUP
from polyvisor.network.ovn.view import View
from polyvisor.network.standing import has_something

_KINDS: dict[Unit, Callable[[View, Subject], Iterator[Row]]] = {
    Unit.NETWORK: switch.rows,
    Unit.PORT: port.rows,
    Unit.ROUTER: router.rows,
    Unit.SECURITY_GROUP: security_group.rows,
    Unit.ADDRESS_GROUP: address_group.rows,
}


def rows_of(view: View, subjects: Iterable[Subject]) -> tuple[list[Row], dict[Subject, str]]:
    """The rows of these subjects, and those that could not be translated; one without a record has no rows."""
    rows: list[Row] = []
    failed: dict[Subject, str] = {}
    for subject in subjects:
        if subject != DROP_GROUP and has_something(view.records, subject) is None:
            continue
        try:
            rows += list(_KINDS[subject.unit](view, subject))
        except (LookupError, TypeError, ValueError) as error:
            # One record that says something impossible must not hold up the others.
            failed[subject] = f"it cannot be translated: {type(error).__name__}: {error}"
    return rows, failed
