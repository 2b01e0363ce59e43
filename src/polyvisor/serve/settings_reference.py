"""The reference of every setting, read from the records themselves, so that it cannot go out of date."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from polyvisor.hypervisor.kvm.settings import KvmSettings
from polyvisor.hypervisor.simulated.settings import SimulatedSettings
from polyvisor.hypervisor.vsphere.settings import VsphereSettings
from polyvisor.serve.configuration import Configuration

_HYPERVISORS = (("kvm", KvmSettings), ("vsphere", VsphereSettings), ("simulated", SimulatedSettings))
_HEAD = """# Settings

`polyvisor up --config FILE` reads a TOML file; without the option, `DATA/polyvisor.toml` is read where it exists. Every
setting has a default, so an empty file will do. This page is what `polyvisor settings` prints.
"""


def reference() -> str:
    """The page, as Markdown."""
    parts = [_HEAD, "## Top level\n", _table(Configuration)]
    for name, kind in _sections():
        parts += [f"## `[{name}]`\n", _table(kind)]
    for driver, kind in _HYPERVISORS:
        parts += [
            f'## `[[hypervisor]]` with `driver = "{driver}"`\n',
            "`name` is the connection's own name: unique, and kept for good. Beside it:\n",
            _table(kind),
        ]
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for field in msgspec.structs.fields(Configuration):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield field.name, field.type


def _table(kind: type[msgspec.Struct]) -> str:
    texts = _docstrings(kind)
    sections = {name for name, _ in _sections()} | {"hypervisor"}
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        if kind is Configuration and field.name in sections:
            continue
        lines.append(f"| `{field.name}` | {_default(field)} | {texts[field.name]} |")
    return "\n".join(lines) + "\n"


def _default(field: msgspec.structs.FieldInfo) -> str:
    value: Any = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return "required"
    return f"`{msgspec.json.encode(value).decode()}`"


def _docstrings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Field name → the string that follows it in the class body, on one line."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    found: dict[str, str] = {}
    if not isinstance(body, ast.ClassDef):
        return found
    for node, following in zip(body.body, body.body[1:], strict=False):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            found[node.target.id] = " ".join(str(following.value.value).split())
    return found
