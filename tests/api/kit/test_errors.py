"""Errors of the database and of the domain, as clients see them; and what the log may hold."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from structlog.testing import capture_logs

from polyvisor.api.identity.passwords import Passwords
from polyvisor.api.identity.service import service as identity
from polyvisor.api.identity.settings import IdentitySettings
from polyvisor.api.kit import log as kit_log
from polyvisor.api.kit.errors import Failure, failure_of, glance_form, keystone_form, neutron_form, nova_form
from polyvisor.model import errors
from tests.api.cloud import ApiCloud


@pytest.mark.parametrize(
    ("error", "status", "nova"),
    [
        (errors.Invalid("no"), 400, "badRequest"),
        (errors.Unauthorized("no"), 401, "unauthorized"),
        (errors.Forbidden("no"), 403, "forbidden"),
        (errors.OverQuota("no"), 403, "forbidden"),
        (errors.NotFound("no"), 404, "itemNotFound"),
        (errors.Conflict("no"), 409, "conflictingRequest"),
        (errors.Gone("no"), 410, "computeFault"),
        (errors.TooLarge("no"), 413, "overLimit"),
        (errors.Unsupported("no"), 415, "badMediaType"),
        (errors.Unavailable("no"), 503, "serviceUnavailable"),
        (IntegrityError("insert", {}, sqlite3.IntegrityError("UNIQUE")), 409, "conflictingRequest"),
        (DataError("insert", {}, ValueError("NUL")), 400, "badRequest"),
        (OverflowError("int too large"), 400, "badRequest"),
        (OperationalError("select", {}, sqlite3.OperationalError("database is locked")), 503, "serviceUnavailable"),
        (OperationalError("select", {}, sqlite3.OperationalError("no such table: x")), 500, "computeFault"),
        (RuntimeError("secret"), 500, "computeFault"),
    ],
)
def test_each_error_has_its_status_and_its_form(error: Exception, status: int, nova: str) -> None:
    failure = failure_of(error, "req-1")
    assert failure.status == status
    assert "secret" not in failure.sentence
    assert "select" not in failure.sentence
    assert "insert" not in failure.sentence
    assert nova_form(failure) == {nova: {"code": status, "message": failure.sentence}}


def test_each_service_says_it_in_its_own_form() -> None:
    failure = Failure(status=404, sentence="No such thing.", request_id="req-1")
    assert keystone_form(failure) == {"error": {"code": 404, "message": "No such thing.", "title": "Not Found"}}
    assert glance_form(failure) == {"message": "No such thing.", "code": "404 Not Found", "title": "Not Found"}
    untyped = {"NeutronError": {"type": "NotFound", "message": "No such thing.", "detail": ""}}
    assert neutron_form(failure) == untyped
    typed = failure_of(errors.NotFound("No such thing.", kind="SubnetNotFound"), "req-1")
    assert neutron_form(typed) == {"NeutronError": {**untyped["NeutronError"], "type": "SubnetNotFound"}}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    settings = IdentitySettings(argon2_memory_kib=64, argon2_passes=1)
    with ApiCloud(tmp_path, [identity], [Passwords(settings), settings]) as cloud:
        yield cloud


def test_the_log_names_requests_and_holds_no_secret(cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    # A logger that was used once may keep what a command had configured in this process: it cannot be listened to.
    structlog.reset_defaults()
    monkeypatch.setattr(kit_log, "log", structlog.get_logger("polyvisor.api"))
    logged: list[Any]
    with capture_logs() as logged:
        user = {"name": "ada", "password": "very secret"}
        made = cloud.admin.post("/identity/v3/users", {"user": user})
        body = {"user": {"id": made.body["user"]["id"], "password": "very secret"}}
        auth = {"identity": {"methods": ["password"], "password": body}}
        token = cloud.anyone.post("/identity/v3/auth/tokens", {"auth": auth}).headers["x-subject-token"]
        subject = {"x-subject-token": token}
        cloud.admin.request("GET", "/identity/v3/auth/tokens?nocatalog=secretly", headers=subject)
        cloud.client(token).post("/identity/v3/users", {"user": {"name": 5, "password": "very secret"}})
    requests = [entry for entry in logged if entry["event"] == "request"]
    assert [entry["status"] for entry in requests] == [201, 201, 200, 400]
    assert requests[0]["request_id"] == made.headers["x-openstack-request-id"]
    assert requests[0]["user_id"] == cloud.user_id("admin", "admin")
    assert requests[0]["project_id"] == cloud.project_id("admin")
    assert requests[0]["statements"] > 0
    assert requests[0]["duration_ms"] > 0
    for secret in ("very secret", "secretly", token, cloud.admin.token or "none"):
        assert secret not in repr(logged)


def test_a_name_that_two_requests_want_is_had_by_one(cloud: ApiCloud) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: cloud.admin.post("/identity/v3/projects", {"project": {"name": "one"}}), range(8))
        )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
