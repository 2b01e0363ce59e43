"""A user with a password, who asks for tokens as clients do."""

from typing import Any

from tests.api.client import Answer, ApiClient
from tests.api.cloud import ApiCloud

TOKENS = "/identity/v3/auth/tokens"


class Person:
    """Made through the API by the administrator; has the role "member" on the project "demo" unless told otherwise."""

    def __init__(self, cloud: ApiCloud, name: str, password: str, role: str | None = "member") -> None:
        self.cloud = cloud
        self.name = name
        self.password = password
        self.project_id = cloud.project_id("demo")
        made = cloud.admin.post("/identity/v3/users", {"user": {"name": name, "password": password}})
        assert made.status == 201, made
        self.id: str = made.body["user"]["id"]
        if role is not None:
            self.role_path = f"/identity/v3/projects/{self.project_id}/users/{self.id}/roles/{role_id(cloud, role)}"
            assert cloud.admin.put(self.role_path).status == 204

    def ask(self, scope: Any = "demo", password: str | None = None, **query: Any) -> Answer:
        """Ask for a token by name and password; `scope` "demo" = the project, None = none is asked for."""
        user = {"name": self.name, "domain": {"name": "Default"}, "password": password or self.password}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if scope == "demo":
            scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        if scope is not None:
            auth["scope"] = scope
        return self.cloud.anyone.post(TOKENS, {"auth": auth}, **query)

    def token(self, scope: Any = "demo") -> str:
        """A token's text."""
        answer = self.ask(scope)
        assert answer.status == 201, answer
        return answer.headers["x-subject-token"]

    def client(self, scope: Any = "demo") -> ApiClient:
        """A client with a token."""
        return self.cloud.client(self.token(scope))


def role_id(cloud: ApiCloud, name: str) -> str:
    """A role's id by its name."""
    [role] = cloud.admin.get("/identity/v3/roles", name=name).body["roles"]
    found: str = role["id"]
    return found


def works(client: ApiClient) -> bool:
    """Whether the client's token is valid."""
    assert client.token is not None
    answer = client.request("GET", TOKENS, headers={"x-subject-token": client.token})
    assert answer.status in (200, 401), answer
    return answer.status == 200
