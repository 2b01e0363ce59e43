"""Decisions of policy: defaults, scopes, an operator's file, and the memory."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from polyvisor.api.kit.policy import COMMON, Policy, Rule
from polyvisor.model.caller import Caller, Named
from polyvisor.model.errors import Forbidden
from polyvisor.model.token import Token

RULES = (*COMMON, Rule(name="cars:drive", check="rule:project_member_or_admin", description="Drive a car."))
HOME = Named(id="default", name="Default")


def caller(*roles: str, project_id: str | None = "p1", domain_id: str | None = None) -> Caller:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    token = Token(user_id="u1", user_generation=0, methods=("password",), audit_id="a", audit_chain="a",
                  issued_at=now, expires_at=now)  # fmt: skip
    return Caller(
        token=token,
        user_id="u1",
        user_name="ada",
        user_domain=HOME,
        project_id=project_id,
        project_domain=HOME if project_id else None,
        domain=Named(id=domain_id, name=domain_id) if domain_id else None,
        role_names=frozenset(roles),
    )


def test_a_member_acts_on_its_own_project_only() -> None:
    policy = Policy(RULES)
    assert policy.allows("cars:drive", caller("member"), {"project_id": "p1"})
    assert not policy.allows("cars:drive", caller("member"), {"project_id": "p2"})
    assert not policy.allows("cars:drive", caller("reader"), {"project_id": "p1"})
    assert policy.allows("cars:drive", caller("admin"), {"project_id": "p2"})


def test_a_project_that_is_missing_on_both_sides_does_not_match() -> None:
    policy = Policy(RULES)
    lost = caller("member", project_id=None, domain_id="default")
    assert not policy.allows("cars:drive", lost, {"project_id": None})
    assert not policy.allows("cars:drive", lost, {})
    assert not policy.allows("cars:drive", lost)


def test_a_refusal_names_the_rule() -> None:
    with pytest.raises(Forbidden, match="cars:drive"):
        Policy(RULES).require("cars:drive", caller("reader"))


def test_a_rule_that_is_not_registered_is_a_mistake() -> None:
    with pytest.raises(LookupError, match="cars:fly"):
        Policy(RULES).allows("cars:fly", caller("admin"))


def test_an_operators_file_replaces_rules_and_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyvisor.api.kit.policy._LOOK_SECONDS", -1.0)
    path = tmp_path / "policy.yaml"
    policy = Policy(RULES, str(path))
    assert not policy.allows("cars:drive", caller("reader"))
    path.write_text('"cars:drive": "role:reader"\n')
    assert policy.allows("cars:drive", caller("reader"))
    path.write_text('"cars:drive": "!"\n# closed\n')
    os.utime(path, ns=(1, 1))
    assert not policy.allows("cars:drive", caller("admin"))
    path.write_text('"cars:drive: broken')
    os.utime(path, ns=(2, 2))
    assert not policy.allows("cars:drive", caller("admin"))
    path.unlink()
    assert policy.allows("cars:drive", caller("admin"))


def test_a_decision_is_remembered_by_what_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(RULES)
    asked: list[str] = []
    decide = policy._decide

    def counted(rule: str, who: Caller, target: object) -> bool:
        asked.append(rule)
        return decide(rule, who, target)  # type: ignore[arg-type]

    monkeypatch.setattr(policy, "_decide", counted)
    for _ in range(3):
        assert policy.allows("cars:drive", caller("member"), {"project_id": "p1"})
        assert not policy.allows("cars:drive", caller("member"), {"project_id": "p2"})
        assert not policy.allows("cars:drive", caller("reader"), {"project_id": "p1"})
        assert not policy.allows("cars:drive", caller("member", project_id="p3"), {"project_id": "p1"})
    assert len(asked) == 4
