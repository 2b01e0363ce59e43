"""Waiting for vCenter's tasks: at once when they end, with their progress, and not for ever."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import Cancelled, HypervisorError, Unreachable
from polyvisor.hypervisor.vsphere.faults import told, translated
from polyvisor.hypervisor.vsphere.properties import read
from polyvisor.hypervisor.vsphere.session import Session

_PATHS = ["info.state", "info.error", "info.progress", "info.result"]
WAIT_SECONDS = 20
"""How long one question waits on the server; below the session's timeout."""


class StillRunning(HypervisorError):
    """A task is not done within the time given; it goes on."""


class TaskFailed(HypervisorError):
    """A task ended with a fault."""

    def __init__(self, said: str, fault: Any) -> None:
        super().__init__(said)
        self.fault = fault


def finish(
    session: Session, start: Callable[[], Any], what: str, *,
    progress: Callable[[float], None] | None = None, within_seconds: float | None = None,
) -> Any:  # fmt: skip
    """Start a task and wait for its end; `what` follows "could not" ("power on the VM").

    Returns the task's result. Raises TaskFailed with vCenter's message and fault, Unreachable (the outcome is unknown),
    or StillRunning when the task makes no progress for the settings' `task_stall_seconds` or is not done
    `within_seconds`. When `progress` raises Cancelled, the task is cancelled.
    """
    try:
        task = start()
    except vmodl.MethodFault as fault:
        raise _failure(what, fault) from fault
    return wait(session, task, what, progress=progress, within_seconds=within_seconds)


def wait(
    session: Session, task: Any, what: str, *,
    progress: Callable[[float], None] | None = None, within_seconds: float | None = None,
) -> Any:  # fmt: skip
    """Wait for a task that was started; see `finish`."""
    started = moved = time.monotonic()
    last: Any = None
    watcher = _Watcher(session, task)
    try:
        info = _read(session, task, what)
        while info.get("info.state") not in ("success", "error"):
            now = time.monotonic()
            if info.get("info.progress") != last:
                last, moved = info.get("info.progress"), now
            _tell(task, progress, last)
            limit = session.settings.task_stall_seconds
            if now - moved > limit or (within_seconds is not None and now - started > within_seconds):
                raise StillRunning(
                    f"vSphere could not {what} in time: its task makes no progress. Look at it in vCenter."
                )
            left = WAIT_SECONDS if within_seconds is None else started + within_seconds - now
            watcher.changed(min(WAIT_SECONDS, max(1, int(left))))
            info = _read(session, task, what)
    finally:
        watcher.close()
    if info["info.state"] == "error":
        raise _failure(what, info.get("info.error"))
    if progress:
        progress(1.0)
    return info.get("info.result")


def _failure(what: str, fault: Any) -> HypervisorError:
    error = (
        told(what, fault) if fault is not None else HypervisorError(f"vSphere could not {what}, and gave no reason.")
    )
    return error if isinstance(error, Unreachable) else TaskFailed(str(error), fault)


def _read(session: Session, task: Any, what: str) -> dict[str, Any]:
    with translated(f"follow the task to {what}"):
        info = read(session, task, _PATHS)
    if info is None:  # vCenter was restarted, or the task is too old: whoever asked looks at what came of it
        raise Unreachable(f"vCenter no longer knows the task to {what}; what came of it is looked up again.")
    return info


def _tell(task: Any, progress: Callable[[float], None] | None, percent: Any) -> None:
    if progress is None:
        return
    try:
        progress((percent or 0) / 100)
    except Cancelled:
        with contextlib.suppress(vmodl.MethodFault, HypervisorError):
            task.Cancel()
        raise


CREATE_VM = frozenset({"Folder.createVm"})
LAY_DISK = frozenset({"VirtualDiskManager.copyVirtualDisk", "VirtualDiskManager.extendVirtualDisk"})


def wait_for_others(session: Session, kinds: frozenset[str], what: str) -> bool:
    """Wait for the end of the tasks of these kinds that run now, whoever started them: a process of ours that was
    killed, or whose place was taken, leaves its task running. Returns whether there were any."""
    recent = (read(session, session.content.taskManager, ["recentTask"]) or {}).get("recentTask", ())
    found = False
    for task in recent:
        info = read(session, task, ["info.descriptionId", "info.state"]) or {}
        if info.get("info.descriptionId") in kinds and info.get("info.state") in ("queued", "running"):
            found = True
            with contextlib.suppress(TaskFailed):
                wait(session, task, what)
    return found


class _Watcher:
    """Waits on the server for changes of one task, through a collector of its own."""

    def __init__(self, session: Session, task: Any) -> None:
        self._session, self._task = session, task
        self._collector: Any = None
        self._version = ""

    def changed(self, seconds: int) -> None:
        """Return when the task has changed, or after `seconds`. Whoever waits then looks for himself."""
        try:
            if self._collector is None:
                self._open()
            options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=seconds)
            updates = self._collector.WaitForUpdatesEx(self._version, options)
            if updates is not None:
                self._version = updates.version
        except vmodl.MethodFault:  # the session was renewed, and the collector went with it
            self._collector, self._version = None, ""
            time.sleep(0.2)

    def _open(self) -> None:
        query = vmodl.query.PropertyCollector
        collector = self._session.content.propertyCollector.CreatePropertyCollector()
        collector.CreateFilter(
            query.FilterSpec(
                objectSet=[query.ObjectSpec(obj=self._task)],
                propSet=[query.PropertySpec(type=vim.Task, pathSet=["info.state", "info.progress"])],
            ),
            partialUpdates=False,
        )
        self._collector = collector

    def close(self) -> None:
        if self._collector is not None:
            with contextlib.suppress(vmodl.MethodFault, HypervisorError):
                self._collector.Destroy()
