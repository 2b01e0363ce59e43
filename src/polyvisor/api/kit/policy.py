"""Policy by oslo.policy: OpenStack's default roles, an operator's policy.yaml over them, and a memory of decisions."""

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from oslo_config import cfg
from oslo_policy import policy as oslo

from polyvisor.model.caller import Caller
from polyvisor.model.errors import Forbidden
from polyvisor.model.record import Record

_MEMORY = 20_000
_LOOK_SECONDS = 1.0
_NO_FILE = f"{os.devnull}/policy.yaml"
log = structlog.get_logger("polyvisor.api")


class Rule(Record):
    """One policy rule, as the reference documents it."""

    name: str
    check: str
    """oslo.policy's language, such as "rule:admin_or_owner"."""
    description: str
    """One sentence: what the rule allows."""


COMMON = (
    Rule(
        name="context_is_admin",
        check="role:admin",
        description="Who administers the cloud: sees every project's things.",
    ),
    Rule(name="admin_api", check="rule:context_is_admin", description="What administrators alone may do."),
    Rule(
        name="project_reader_api",
        check="role:reader and project_id:%(project_id)s",
        description="Readers of the project that a thing belongs to.",
    ),
    Rule(
        name="project_member_api",
        check="role:member and project_id:%(project_id)s",
        description="Members of the project that a thing belongs to.",
    ),
    Rule(
        name="project_manager_api",
        check="role:manager and project_id:%(project_id)s",
        description="Managers of the project that a thing belongs to.",
    ),
    Rule(
        name="project_reader_or_admin",
        check="rule:project_reader_api or rule:context_is_admin",
        description="Readers of the thing's project, and administrators.",
    ),
    Rule(
        name="project_member_or_admin",
        check="rule:project_member_api or rule:context_is_admin",
        description="Members of the thing's project, and administrators.",
    ),
    Rule(
        name="project_manager_or_admin",
        check="rule:project_manager_api or rule:context_is_admin",
        description="Managers of the thing's project, and administrators.",
    ),
)
"""Rules that every service builds on."""


class Policy:
    """Decides by rule, caller and target."""

    def __init__(self, rules: Iterable[Rule], policy_file: str = "") -> None:
        """`policy_file`: an operator's overrides, read again when it changes; it need not exist."""
        self._file = policy_file
        self._rules = {rule.name: rule for rule in rules}
        self._enforcer = self._load()
        self._memory: dict[Any, bool] = {}
        self._looked = time.monotonic()
        self._seen = self._stamp()

    def allows(self, rule: str, caller: Caller, target: Mapping[str, Any] | None = None) -> bool:
        """Whether `caller` may do `rule` to `target`, a flat mapping (default: a thing of the caller's own project)."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look_again()
        key = (rule, caller.user_id, caller.project_id, caller.domain_id, caller.system, caller.role_names,
               None if target is None else tuple(target.items()))  # fmt: skip
        try:
            decided = self._memory.get(key)
        except TypeError:
            # A list or the like in the target: decided each time.
            return self._decide(rule, caller, target)
        if decided is None:
            decided = self._decide(rule, caller, target)
            if len(self._memory) >= _MEMORY:
                self._memory.clear()
            self._memory[key] = decided
        return decided

    def require(self, rule: str, caller: Caller, target: Mapping[str, Any] | None = None) -> None:
        """Raise Forbidden unless `allows`."""
        if not self.allows(rule, caller, target):
            raise Forbidden(f"Policy does not allow {rule} to be performed. It needs another role, or another scope.")

    def _decide(self, rule: str, caller: Caller, target: Mapping[str, Any] | None) -> bool:
        if rule not in self._rules:
            raise LookupError(f"The policy rule {rule} is not registered.")
        own = {"project_id": caller.project_id, "user_id": caller.user_id}
        return bool(self._enforcer.enforce(rule, _known(own if target is None else target), _credentials(caller)))

    def _load(self) -> oslo.Enforcer:
        conf = cfg.ConfigOpts()
        conf([], project="polyvisor", default_config_files=[], default_config_dirs=[])
        # A path that cannot exist keeps oslo.policy from looking for a file in places of its own.
        enforcer = oslo.Enforcer(conf, policy_file=self._file or _NO_FILE)
        conf.set_override("policy_dirs", [], group="oslo_policy")
        enforcer.suppress_default_change_warnings = True
        enforcer.register_defaults(
            [oslo.RuleDefault(rule.name, rule.check, rule.description) for rule in self._rules.values()]
        )
        enforcer.load_rules()
        return enforcer

    def _look_again(self) -> None:
        self._looked = time.monotonic()
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._enforcer = self._load()
        except Exception as error:  # noqa: BLE001 (whatever is wrong with the file, the rules that held go on holding)
            log.error("policy_file_unusable", file=self._file, reason=str(error))
            return
        self._memory.clear()
        log.info("policy_file_read", file=self._file)

    def _stamp(self) -> tuple[int, int] | None:
        if not self._file:
            return None
        try:
            found = os.stat(self._file)  # noqa: PTH116 (a stat per second, on the way of requests)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size


def _credentials(caller: Caller) -> dict[str, Any]:
    known = _known(
        {
            "user_id": caller.user_id,
            "user_domain_id": caller.user_domain.id,
            "project_id": caller.project_id,
            "tenant_id": caller.project_id,
            "project_domain_id": caller.project_domain.id if caller.project_domain else None,
            "domain_id": caller.domain_id,
            "system_scope": "all" if caller.system else None,
        }
    )
    return {**known, "roles": sorted(caller.role_names), "is_admin": "admin" in caller.role_names}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    # A missing value matches nothing; two values of None would match each other.
    return {name: value for name, value in values.items() if value is not None}
