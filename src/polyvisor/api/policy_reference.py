"""The page of all policy rules, made from rules and routes: `python -m polyvisor.api.policy_reference`."""

import importlib
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence

import polyvisor.api
from polyvisor.api.kit.policy import COMMON, Rule
from polyvisor.api.kit.resource import PUBLIC
from polyvisor.api.kit.service import Service

_HEAD = """# Policy

Who may do what is decided by the rules below, in the language of oslo.policy. Put your own into `policy.yaml` in the
data directory (or where `policy_file` says): what stands there replaces the default of the same name, and is read
within a second of being saved. A file that cannot be read is reported in the log, and the rules go on as they were.

The default roles are OpenStack's. Each implies the next: `admin` (the whole cloud), `manager`, `member`, `reader`.
`%(…)s` names an attribute of what is acted on; a rule on a project's things compares it with the project of the token.
`@` allows everybody who has a valid token.

```yaml
# policy.yaml: members may not make keypairs
"os_compute_api:os-keypairs:create": "rule:context_is_admin"
```
"""


def every_service() -> list[Service]:
    """The services of this program: the `service` of each package of `polyvisor.api` that has one, by type."""
    found = []
    for package in pkgutil.iter_modules(polyvisor.api.__path__, "polyvisor.api."):
        if package.ispkg and importlib.util.find_spec(f"{package.name}.service") is not None:
            service = getattr(importlib.import_module(f"{package.name}.service"), "service", None)
            if isinstance(service, Service):
                found.append(service)
    return sorted(found, key=lambda service: service.type)


def reference(services: Sequence[Service]) -> str:
    """The page, in Markdown."""
    parts = [_HEAD, "## Everywhere\n", _rules(COMMON, {})]
    for service in services:
        operations: dict[str, list[str]] = defaultdict(list)
        for route in service.routes:
            action = f" ({route.action})" if route.action else ""
            operation = f"{route.method} {service.prefix}{route.path}{action}"
            if operation not in operations[route.policy]:
                operations[route.policy].append(operation)
        parts.append(f"## {service.type.capitalize()}\n")
        if PUBLIC in operations:
            without = "\n".join(f"- `{operation}`" for operation in operations[PUBLIC])
            parts.append(f"Without a token:\n\n{without}\n")
        parts.append(_rules(service.rules, operations))
    return "\n".join(parts)


def _rules(rules: Iterable[Rule], operations: dict[str, list[str]]) -> str:
    lines = []
    for rule in rules:
        lines += [f"### `{rule.name}`\n", f"{rule.description}\n", f"Default: `{rule.check}`\n"]
        if rule.name in operations:
            lines += [f"- `{operation}`" for operation in operations[rule.name]]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(reference(every_service()))
