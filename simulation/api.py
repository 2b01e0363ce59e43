"""The product's Compute API without HTTP: requests go to its handlers, as one caller who may do everything."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from polyvisor.api.compute.service import service
from polyvisor.api.kit.call import Request
from polyvisor.api.kit.context import Context
from polyvisor.api.kit.engine import Engine
from polyvisor.api.kit.settings import ApiSettings
from polyvisor.model.caller import Caller, Named
from polyvisor.model.settings import ComputeSettings
from polyvisor.model.token import Token
from polyvisor.store.database import Database

PROJECT = "11111111111111111111111111111111"
_DAWN = datetime(2026, 1, 1, tzinfo=UTC)
_CALLER = Caller(
    token=Token(
        user_id="u", methods=("password",), user_generation=0, project_id=PROJECT, audit_id="a", audit_chain="a",
        issued_at=_DAWN, expires_at=_DAWN,
    ),
    user_id="u",
    user_name="user",
    user_domain=Named(id="default", name="Default"),
    project_id=PROJECT,
    project_name="project",
    project_domain=Named(id="default", name="Default"),
    roles=(Named(id="admin", name="admin"),),
    role_names=frozenset(("admin", "member", "reader")),
)  # fmt: skip


class _Everybody:
    """Who calls is known beforehand: tokens are no part of the simulation."""

    def check_seal(self, text: str, now: datetime) -> None:
        """It is always ours."""

    def caller(self, store: Any, text: str, now: datetime) -> Caller:
        """The one there is."""
        return _CALLER


class _Everything:
    """A policy that allows it."""

    def allows(self, rule: str, caller: Caller, target: Any = None) -> bool:
        """Always."""
        return True

    def require(self, rule: str, caller: Caller, target: Any = None) -> None:
        """Always."""


class Answer(msgspec.Struct, frozen=True):
    """What a request was answered with."""

    status: int
    body: Any


class Api:
    """Made once a run; each server has a copy with its own database and clock."""

    def __init__(self, database: Database, compute: ComputeSettings) -> None:
        context = Context(
            database,
            ApiSettings(),
            _Everything(),  # type: ignore[arg-type]
            [compute],
            _Everybody(),  # type: ignore[arg-type]
            lambda: _DAWN,
        )
        self._engine = Engine(context, [service])

    def of(self, database: Database, clock: Callable[[], datetime]) -> Api:
        """The same API, in another process."""
        mine = copy.copy(self)
        mine._engine = copy.copy(self._engine)
        mine._engine.context = copy.copy(self._engine.context)
        mine._engine.context.database, mine._engine.context.clock = database, clock
        return mine

    def serve(self, method: str, path: str, body: Any = None, version: str = "2.95") -> Answer:
        """One request to the Compute API, by its path below /v2.1."""
        headers = {"x-auth-token": "t", "openstack-api-version": f"compute {version}"}
        request = Request(method, path, headers, "", "http://cloud")
        if body is not None:
            request.body = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        found = service.router.find(path)
        if found is None:
            raise LookupError(f"The Compute API has no {path}.")
        answer, _ = self._engine.serve(service, found, request)
        content = getattr(answer, "body", None)
        return Answer(answer.status, json.loads(content) if isinstance(content, bytes) and content else content)
