"""Takes stuck operations up again, when the operator asks for it."""

from datetime import datetime

from polyvisor.model.errors import Invalid
from polyvisor.model.operation import Operation, OperationState
from polyvisor.operate import progress
from polyvisor.store.store import Store


def retry(store: Store, operation_id: str, now: datetime) -> Operation:
    """Have the undo of a stuck operation tried anew. Raises NotFound, and Invalid when it is not stuck."""
    row = store.operation.get(operation_id)
    if row.state is not OperationState.STUCK:
        raise Invalid(f"Operation {operation_id} is {row.state}: only stuck operations can be retried.")
    row = progress.retried(row, now)
    store.operation.save([row])
    store.wake(row.place)
    return row
