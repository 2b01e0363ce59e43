"""Begins operations that no request of the API asked for: the cloud's own, and those of commands on a server."""

from datetime import datetime

import msgspec

from polyvisor.model.record import Record
from polyvisor.store.store import Store


def begin_unasked(
    store: Store,
    id: str,
    kind: str,
    target_id: str,
    args: Record,
    now: datetime,
    *,
    project_id: str = "",
    user_id: str = "",
    alone: bool = False,
) -> None:
    """Record an operation; its request id is made from its own `id`. `alone`: see `Operations.begin`."""
    store.operation.begin(
        id=id,
        kind=kind,
        target_id=target_id,
        project_id=project_id,
        user_id=user_id,
        request_id=f"req-{id}",
        args=msgspec.to_builtins(args),
        now=now,
        alone=alone,
    )
