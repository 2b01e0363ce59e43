"""Runs the product's command line in a process that dies, or fails, where the file named by PLAN says.

    PLAN=/some/file python -m tests.crash.killed_up up --data DIR …

The file holds one line for each thing to go wrong: `KIND STEP do|undo before|after kill|fail`. It is read anew at each
step, so that one running cloud serves many cases; a missing file lets everything be. The product knows nothing of this.
"""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polyvisor.cli import main
from polyvisor.hypervisor.driver import HypervisorError
from polyvisor.operate import progress
from polyvisor.operate.kinds import KINDS

PLAN = Path(os.environ["PLAN"])


def _happen(kind: str, step: str, way: str, moment: str) -> None:
    if not PLAN.exists():
        return
    for line in PLAN.read_text().splitlines():
        *where, what = line.split()
        if where == [kind, step, way, moment]:
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise HypervisorError("This was planned to fail.")


def _breakable(act: Callable[..., Any], kind: str, step: str, way: str) -> Callable[..., Any]:
    @functools.wraps(act)
    def run(*args: Any) -> Any:
        _happen(kind, step, way, "before")
        result = act(*args)
        _happen(kind, step, way, "after")
        return result

    return run


for _kind in KINDS.values():
    for _step in _kind.steps:
        _step.do = _breakable(_step.do, _kind.kind, _step.name, "do")
        if _step.undo_step is not None:
            _step.undo_step = _breakable(_step.undo_step, _kind.kind, _step.name, "undo")


# An undo that fails is tried for minutes before it is left to the operator; here nobody waits for that.
progress.MOST_UNDO_ATTEMPTS = 2

if __name__ == "__main__":
    main()
