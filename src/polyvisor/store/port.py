"""Ports."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row

from polyvisor.model.network_intent import Unit
from polyvisor.model.port import Binding, Port
from polyvisor.store.network_standard import StandardNoun
from polyvisor.store.port_tables import port

_BINDING = Binding.__struct_fields__
_PLAIN = tuple(name for name in Port.__struct_fields__ if name != "binding")


class Ports(StandardNoun[Port]):
    """The statements on ports."""

    table = port
    kind = Port
    title = "Port"
    missing = "PortNotFound"
    unit = Unit.PORT

    def _fields(self, viewer: str | None) -> dict[str, ColumnElement[Any]]:
        return {name: port.c[name] for name in (*_PLAIN, *_BINDING)}

    def _of(self, row: Row[Any]) -> Port:
        values = dict(zip((*_PLAIN, *_BINDING), row, strict=True))
        binding = Binding(**{name: values.pop(name) for name in _BINDING})
        return Port(**values, binding=binding)
