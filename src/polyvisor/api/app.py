"""The whole API as one ASGI application."""

from collections.abc import Sequence
from datetime import UTC, datetime

from polyvisor.api.kit.authenticate import Authenticator
from polyvisor.api.kit.context import Clock, Context
from polyvisor.api.kit.edge import Edge
from polyvisor.api.kit.engine import Engine
from polyvisor.api.kit.log import Observer, write_access
from polyvisor.api.kit.policy import COMMON, Policy
from polyvisor.api.kit.seal import Seal
from polyvisor.api.kit.service import Service
from polyvisor.api.kit.settings import ApiSettings
from polyvisor.api.kit.trace import Tracing
from polyvisor.store.database import Database


def _now() -> datetime:
    return datetime.now(UTC)


def build_app(
    database: Database,
    settings: ApiSettings,
    parts: Sequence[object],
    services: Sequence[Service],
    *,
    observers: Sequence[Observer] = (write_access,),
    clock: Clock = _now,
    tracing: Tracing | None = None,
) -> Edge:
    """The application. `parts`: what handlers ask for by class (`call.part(Backend)`); `observers` see each request;
    `tracing` decides which requests are recorded.
    """
    rules = [*COMMON, *(rule for service in services for rule in service.rules)]
    authenticator = Authenticator(Seal(database))
    policy = Policy(rules, settings.policy_file)
    context = Context(database, settings, policy, [*parts, authenticator], authenticator, clock, tracing)
    return Edge(Engine(context, services), observers)
