"""What holds for every route of every service: a policy guards it, and its rule is documented."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyvisor.api.kit.microversion import text
from polyvisor.api.kit.policy import COMMON, Policy
from polyvisor.api.kit.resource import PUBLIC, Route
from polyvisor.api.kit.service import Service
from polyvisor.api.policy_reference import every_service, reference
from tests.api.cloud import ApiCloud

SERVICES = every_service()
ROOT = Path(__file__).parents[2]
WITHOUT_A_TOKEN = {
    "POST /identity/v3/auth/tokens",
    "POST /identity/v3/users/{id}/password",
}
ROUTES = [(service, route) for service in SERVICES for route in service.routes if route.policy != PUBLIC]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCloud]:
    with ApiCloud(tmp_path_factory.mktemp("api"), SERVICES) as cloud:
        yield cloud


def test_all_services_are_found() -> None:
    assert "identity" in [service.type for service in SERVICES]


def test_the_routes_without_a_token_are_the_known_ones() -> None:
    public = {
        f"{route.method} {service.prefix}{route.path}"
        for service in SERVICES
        for route in service.routes
        if route.policy == PUBLIC
    }
    assert public == WITHOUT_A_TOKEN


@pytest.mark.parametrize(
    ("service", "route"), ROUTES, ids=[f"{route.method} {route.path} {route.action or ''}" for _, route in ROUTES]
)
def test_a_route_answers_nobody_without_a_token(cloud: ApiCloud, service: Service, route: Route) -> None:
    headers = {}
    if service.microversions is not None:
        version = max(route.first, service.microversions.minimum)
        headers["openstack-api-version"] = f"{service.microversions.service_type} {text(version)}"
    path = service.prefix + re.sub(r"\{[^}]*\}", "x", route.path)
    body = {route.action: None} if route.action else None
    assert cloud.anyone.request(route.method, path, json=body, headers=headers).status == 401


def test_every_route_has_a_registered_rule() -> None:
    for service in SERVICES:
        known = {rule.name for rule in (*COMMON, *service.rules)}
        for route in service.routes:
            assert route.policy in known | {PUBLIC}, f"{route.method} {route.path}"


def test_every_rule_says_what_it_allows_and_is_used() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "src/polyvisor/api").rglob("*.py"))
    for service in SERVICES:
        checks = " ".join(rule.check for rule in (*COMMON, *service.rules))
        policies = {route.policy for route in service.routes}
        for rule in service.rules:
            assert re.fullmatch(r"[A-Z].*\.", rule.description), rule.name
            # Where a handler requires it, its name stands a second time, in part perhaps: f"{PREFIX}:other_project".
            ending = rule.name.rpartition(":")[2] + '"'
            used = rule.name in policies or f"rule:{rule.name}" in checks or sources.count(ending) > 1
            assert used, f"{rule.name} guards nothing"


def test_no_two_rules_have_one_name() -> None:
    names = [rule.name for service in SERVICES for rule in service.rules] + [rule.name for rule in COMMON]
    assert sorted(names) == sorted(set(names))


def test_every_rule_can_be_read_by_oslo_policy() -> None:
    Policy([*COMMON, *(rule for service in SERVICES for rule in service.rules)])


def test_the_page_about_policy_is_up_to_date() -> None:
    page = (ROOT / "docs/reference/policy.md").read_text()
    assert page == reference(SERVICES), "run: python -m polyvisor.api.policy_reference > docs/reference/policy.md"
