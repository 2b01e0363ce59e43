"""libvirt's event loop in a thread of this process; without it there is neither keepalive nor any event."""

import threading
import time

import structlog

log = structlog.get_logger()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def start_event_loop() -> None:
    """Run it, where it does not run yet. It must be there before the first link is opened."""
    global _thread
    import libvirt

    with _lock:
        if _thread is not None and _thread.is_alive():
            return
        # libvirt's own handler prints each error; ours are raised, and logged by who catches them.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        _thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
        _thread.start()


def _run() -> None:
    import libvirt

    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("libvirt's event loop failed once")
            time.sleep(1)  # it must not spin, should it fail always
