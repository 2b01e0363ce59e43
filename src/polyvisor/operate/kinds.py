"""Every kind of operation, by name."""

from typing import Any

from polyvisor.operate.definition import Operation
from polyvisor.operate.guest_remove import guest_remove
from polyvisor.operate.host_drain import host_drain
from polyvisor.operate.host_filter_ports import host_filter_ports
from polyvisor.operate.host_forget_images import host_forget_images
from polyvisor.operate.server_create import server_create
from polyvisor.operate.server_delete import server_delete
from polyvisor.operate.server_evacuate import server_evacuate
from polyvisor.operate.server_interface import server_attach_interface, server_detach_interface
from polyvisor.operate.server_look import server_console, server_console_log
from polyvisor.operate.server_move import server_move
from polyvisor.operate.server_power import (
    server_pause,
    server_reboot,
    server_resume,
    server_start,
    server_stop,
    server_suspend,
    server_unpause,
)

KINDS: dict[str, Operation[Any]] = {
    operation.kind: operation
    for operation in (
        server_create,
        server_delete,
        server_start,
        server_stop,
        server_reboot,
        server_pause,
        server_unpause,
        server_suspend,
        server_resume,
        server_attach_interface,
        server_detach_interface,
        server_evacuate,
        server_move,
        guest_remove,
        host_drain,
        server_console_log,
        server_console,
        host_forget_images,
        host_filter_ports,
    )
}

PASSING = ("server.console_log", "server.console", "host.forget_images", "host.filter_ports")
"""Kinds that answer a request or tidy up: nobody looks for them later, so they are soon forgotten."""
