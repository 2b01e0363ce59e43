"""vSphere's faults, told as the driver's errors in sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyVmomi import vim, vmodl

from polyvisor.hypervisor.driver import HypervisorError, Unreachable

# What passes: an ESXi host that does not answer may come back, and a file that another task holds is let go.
_PASSING = (
    vim.fault.FileLocked,
    vim.fault.HostConnectFault,
    vim.fault.TaskInProgress,
    vmodl.fault.HostCommunication,
    vmodl.fault.RequestCanceled,
)


def sentence(fault: Any) -> str:
    """What vCenter says of a fault, in its own words, with the messages below it."""
    told = [str(getattr(fault, "msg", None) or "").strip()]
    told += [str(message.message or "").strip() for message in getattr(fault, "faultMessage", None) or ()]
    reason = getattr(fault, "reason", None)
    if isinstance(reason, str):
        told.append(reason.strip())
    name = type(fault).__name__.rpartition(".")[2]
    said: list[str] = []
    for text in told:
        if text and text != name and text not in said:
            said.append(text)
    return " ".join(said) if said else name


def told(what: str, fault: Any) -> HypervisorError:
    """The driver's error for a fault met while doing `what` ("create the VM")."""
    if isinstance(fault, vim.fault.NotAuthenticated):  # to vSphere, a kind of missing permission
        return Unreachable(f"vSphere ended our session while we asked it to {what}; it is tried again.")
    if isinstance(fault, vim.fault.NoPermission):
        return HypervisorError(
            f"vSphere does not let us {what}: the privilege {fault.privilegeId} is missing on {_entity(fault)}. "
            "Give it to the user's role."
        )
    if isinstance(fault, _PASSING):
        return Unreachable(f"vSphere could not {what} now: {sentence(fault)}")
    return HypervisorError(f"vSphere could not {what}: {sentence(fault)}")


def _entity(fault: Any) -> str:
    entity = getattr(fault, "object", None)
    return str(entity).strip("'") if entity is not None else "an object"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the faults of the block into HypervisorError or Unreachable; `what` follows "could not"."""
    try:
        yield
    except vmodl.MethodFault as fault:
        raise told(what, fault) from fault
