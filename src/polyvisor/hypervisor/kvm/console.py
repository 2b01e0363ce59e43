"""What a user looks at: the serial console's log, and where VNC answers."""

import contextlib
import secrets
import string
from pathlib import Path
from typing import Any

from polyvisor.hypervisor.driver import Console, HypervisorError
from polyvisor.hypervisor.kvm.instance import Instance
from polyvisor.hypervisor.kvm.settings import KvmSettings
from polyvisor.hypervisor.kvm.xml import parse

LOG_BYTES = 1 << 20
_VNC_PASSWORD_LENGTH = 8
"""All that VNC's own authentication (RFC 6143, 7.2.2) takes of a password."""


def new_password() -> str:
    """A password for one guest's console."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_VNC_PASSWORD_LENGTH))


def read_log(instance: Instance) -> bytes:
    """The last MiB of the log. virtlogd moves a log of 2 MiB to `.0` and begins a new one: both are read."""
    if not instance.console_log.exists():
        raise HypervisorError(f"The guest of server {instance.server_id} has no console log.")
    try:
        log = _tail(instance.console_log, LOG_BYTES)
        if len(log) < LOG_BYTES:
            with contextlib.suppress(FileNotFoundError):
                log = _tail(instance.console_log.with_name("console.log.0"), LOG_BYTES - len(log)) + log
    except PermissionError:
        raise HypervisorError(
            "The console log belongs to root since virtlogd rotated it; run the agent as root to read it."
        ) from None
    return log


def _tail(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - length))
        return file.read(length)


def where(domain: Any, settings: KvmSettings) -> Console:
    """Where the guest's VNC answers, with its password. Raises HypervisorError where it does not."""
    import libvirt

    graphics = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)).find("devices/graphics[@type='vnc']")
    if graphics is None:
        raise HypervisorError("The guest has no graphical console; its image asks for hw_video_model=none.")
    port = int(graphics.get("port", "-1"))
    if not domain.isActive() or port < 0:
        raise HypervisorError("The guest is off, so its console does not answer; start the server first.")
    address = settings.address or settings.vnc_listen
    return Console(kind="vnc", host=address, port=port, password=graphics.get("passwd", ""))
