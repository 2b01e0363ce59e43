"""An API over a database of its own, with callers of every kind."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from polyvisor.api.app import build_app
from polyvisor.api.kit import ApiSettings, Service
from polyvisor.api.kit.context import Clock
from tests.api.callers import Callers
from tests.api.client import ApiClient, Loop
from tests.databases import sqlite_url, with_tables


class ApiCloud:
    """`with ApiCloud(tmp_path, [service]) as cloud: cloud.member.get("/compute/v2.1/servers")`."""

    def __init__(
        self,
        folder: Path,
        services: Sequence[Service],
        parts: Sequence[object] = (),
        settings: ApiSettings | None = None,
        clock: Clock = lambda: datetime.now(UTC),
        database_url: str = "",
    ) -> None:
        """`database_url`: where it keeps its records; a file of its own in `folder` by default."""
        self.database = with_tables(database_url or sqlite_url(folder))
        self.callers = Callers(self.database)
        self.app = build_app(self.database, settings or ApiSettings(), parts, services, clock=clock)
        self._loop = Loop()
        self.anyone = ApiClient(self.app, self._loop)
        """Without a token."""
        self.admin = self.caller("admin", "admin")
        """Administrator, on the project "admin"."""
        self.member = self.caller("demo", "member")
        """Member of the project "demo"."""
        self.reader = self.caller("demo", "reader")
        """Reader of the project "demo"."""
        self.other = self.caller("other", "member")
        """Member of the project "other"."""

    def caller(self, project: str, role: str) -> ApiClient:
        """A client whose token has `role` (and what it implies) on `project`; the same user each time."""
        return ApiClient(self.app, self._loop, self.callers.token(project, role))

    def client(self, token: str) -> ApiClient:
        """A client with a token."""
        return ApiClient(self.app, self._loop, token)

    def project_id(self, project: str) -> str:
        """The id of a project by name."""
        return self.callers.project_id(project)

    def user_id(self, project: str, role: str) -> str:
        """The id of the user that `caller` gives."""
        return self.callers.user_id(project, role)

    def __enter__(self) -> "ApiCloud":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.close()
        self.app.close()
        self.database.close()
