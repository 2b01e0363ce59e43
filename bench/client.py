"""A small OpenStack client for measuring: one kept-alive connection a thread, nothing but the standard library."""

import http.client
import json
import os
import re
import threading
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 300


class Refused(Exception):
    """The cloud answered with a status that was not expected."""


class Cloud:
    """One OpenStack cloud, reached as its clients reach it: by a token and the catalogue."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """`variables`: OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and the domains' names."""
        self.variables = variables
        self.auth_url = variables["OS_AUTH_URL"].rstrip("/")
        self._local = threading.local()
        self.token = self.project_id = ""
        self.endpoints: dict[str, str] = {}

    def log_in(self) -> None:
        """A token, and the catalogue that comes with it."""
        answer = self.ask_for_token()
        self.project_id = answer["token"]["project"]["id"]
        self.endpoints = {
            service["type"]: endpoint["url"].rstrip("/")
            for service in answer["token"]["catalog"]
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public"
        }

    def ask_for_token(self) -> Any:
        """One password login, as `openstack token issue` does it."""
        found = self.variables
        user = {
            "name": found["OS_USERNAME"],
            "password": found["OS_PASSWORD"],
            "domain": {"name": found.get("OS_USER_DOMAIN_NAME", "Default")},
        }
        scope = {
            "name": found["OS_PROJECT_NAME"],
            "domain": {"name": found.get("OS_PROJECT_DOMAIN_NAME", "Default")},
        }
        body = {
            "auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": scope}}
        }
        status, headers, raw = self.raw("POST", f"{self.auth_url}/auth/tokens", json.dumps(body).encode())
        if status != 201:
            raise Refused(f"no token: {status} {raw[:300]!r}")
        self.token = headers["x-subject-token"]
        return json.loads(raw)

    def call(self, service: str, method: str, path: str, body: Any = None, version: str = "2.37") -> Any:
        """One request to a service; returns the decoded answer. Raises Refused for 4xx and 5xx."""
        headers = {"X-OpenStack-Nova-API-Version": version} if service == "compute" else {}
        raw = None if body is None else json.dumps(body).encode()
        status, _, answer = self.raw(method, self.endpoints[service] + path, raw, headers)
        if status >= 400:
            raise Refused(f"{method} {path}: {status} {answer[:300]!r}")
        return json.loads(answer) if answer else None

    def raw(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on this thread's connection: status, headers by lower-case name, body."""
        parts = urllib.parse.urlsplit(url)
        address = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = {"Accept": "application/json", "X-Auth-Token": self.token, **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        for last in (False, True):
            connection, used = self._connection(parts.scheme, parts.netloc)
            try:
                connection.request(method, address, body, sent)
                answer = connection.getresponse()
                content = answer.read()
            except (http.client.HTTPException, ConnectionError):
                self._forget(parts.netloc)
                if last or not used:
                    raise
                continue  # the server had closed a connection that was kept
            if answer.will_close:
                self._forget(parts.netloc)
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
        raise AssertionError("unreachable")

    def _connection(self, scheme: str, netloc: str) -> tuple[http.client.HTTPConnection, bool]:
        kept = self._local.__dict__.setdefault("kept", {})
        if netloc in kept:
            return kept[netloc], True
        make = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        kept[netloc] = make(netloc, timeout=TIMEOUT_SECONDS)
        return kept[netloc], False

    def _forget(self, netloc: str) -> None:
        connection = self._local.kept.pop(netloc, None)
        if connection is not None:
            connection.close()


def from_openrc(path: Path) -> Cloud:
    """The cloud that a file of `export OS_…=…` lines names."""
    found = dict(re.findall(r"^(?:export )?(OS_\w+)=[\"']?([^\"'\n]*)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return Cloud({**os.environ, **found})


def from_clouds_yaml(path: Path, name: str) -> Cloud:
    """One cloud of the clouds.yaml that `polyvisor up` writes."""
    cloud = json.loads(path.read_text(encoding="utf-8").partition("\n")[2])["clouds"][name]
    auth = cloud["auth"]
    return Cloud(
        {
            "OS_AUTH_URL": auth["auth_url"],
            "OS_USERNAME": auth["username"],
            "OS_PASSWORD": auth["password"],
            "OS_PROJECT_NAME": auth["project_name"],
        }
    )
