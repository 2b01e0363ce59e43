"""From libvirt's errors to the driver's: what is a refusal, and what is no answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from polyvisor.hypervisor.driver import HypervisorError, Unreachable

if TYPE_CHECKING:
    import libvirt

_QEMU_PREFIX = re.compile(r"\d{4}-\d\d-\d\dT\S+Z qemu-\S+: ")


def translate(error: "libvirt.libvirtError", place: str, *, alive: bool) -> HypervisorError:
    """The driver's error for libvirt's: Unreachable where the link broke or a guest is busy, else HypervisorError."""
    import libvirt

    code, domain = error.get_error_code(), error.get_error_domain()
    said = first_line(error)
    if not alive or code in (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_RPC):
        return Unreachable(f"libvirt of {place} does not answer: {said}")
    if domain in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE) and code in (
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_INTERNAL_ERROR,
        libvirt.VIR_ERR_OPERATION_FAILED,
    ):
        return Unreachable(f"libvirt of {place} does not answer: {said}")
    if code == libvirt.VIR_ERR_OPERATION_TIMEOUT:  # another job has the guest: a migration, a save
        return Unreachable(f"libvirt of {place} is still at work on this guest: {said}")
    return HypervisorError(f"libvirt of {place} refused: {said}")


@contextmanager
def on_files(what: str) -> Iterator[None]:
    """Turn an error of the host's file system into a refusal that says `what` could not be done."""
    try:
        yield
    except OSError as error:
        if isinstance(error, (ConnectionError, TimeoutError)):
            raise
        raise HypervisorError(f"The host could not {what}: {error.strerror or error}; see to its disk.") from error


def first_line(error: Exception) -> str:
    """An error's first line: QEMU's output follows, of which the rest and the time stamps belong in its log."""
    text = _QEMU_PREFIX.sub("", str(error).strip())
    return text.splitlines()[0] if text else type(error).__name__


def is_missing(error: "libvirt.libvirtError") -> bool:
    """Whether libvirt says that there is no such guest."""
    import libvirt

    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)


def is_wrong_state(error: "libvirt.libvirtError") -> bool:
    """Whether libvirt says that the guest is not in the state the call needs: somebody was faster."""
    import libvirt

    return bool(error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID)
