"""A plain client of the public API: it asks one address after another, and tells an answer from the lack of one."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import requests

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0
_NO_ANSWER = (500, 502, 503, 504)


class NoAnswer(Exception):
    """The request may have been taken, or not: nobody said."""


class Refused(Exception):
    """The cloud said no, with this sentence and this status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Client:
    """One user of the cloud. Not for several threads at once."""

    def __init__(
        self,
        urls: Sequence[str],
        user: str,
        password: str,
        project: str,
        authority: str | bool,
        patience_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`authority`: the PEM file that signs the servers' certificates, or False to check none; `patience_seconds`:
        how long each answer is waited for, and a connection in proportion."""
        self._urls = list(urls)
        self._patience_seconds = patience_seconds
        self._auth = (user, password, project)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = authority
        self._token = ""

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """One request, with a token. Raises NoAnswer, and Refused for an answer of 400 and above."""
        for _ in range(2):
            if not self._token:
                self._token = self._log_in()
            headers = {"X-Auth-Token": self._token, "OpenStack-API-Version": "compute 2.74", **more.pop("headers", {})}
            answer = self._send(method, path, json=body, headers=headers, **more)
            if answer.status_code != 401:
                break
            self._token = ""
        if answer.status_code >= 400:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:300]}", answer.status_code)
        return answer

    def knock(self, path: str = "/") -> int:
        """The status with which a page is answered that needs no token. Raises NoAnswer."""
        return self._send("GET", path).status_code

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def _log_in(self) -> str:
        user, password, project = self._auth
        domain = {"name": "Default"}
        scope = {"project": {"name": project, "domain": domain}}
        who = {"methods": ["password"], "password": {"user": {"name": user, "password": password, "domain": domain}}}
        answer = self._send("POST", "/identity/v3/auth/tokens", json={"auth": {"identity": who, "scope": scope}})
        if answer.status_code != 201:
            raise Refused(f"No token: {answer.status_code} {answer.text[:300]}", answer.status_code)
        return str(answer.headers["X-Subject-Token"])

    def _send(self, method: str, path: str, **more: Any) -> requests.Response:
        timeout = (CONNECT_SECONDS * self._patience_seconds / ANSWER_SECONDS, self._patience_seconds)
        try:
            answer = self._session.request(method, self._urls[0] + path, timeout=timeout, **more)
        except requests.RequestException as error:
            self._urls.append(self._urls.pop(0))
            raise NoAnswer(f"{method} {path}: {type(error).__name__}") from error
        if answer.status_code in _NO_ANSWER:
            self._urls.append(self._urls.pop(0))
            raise NoAnswer(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer


def insist(act: Callable[[], requests.Response], patience_seconds: float) -> requests.Response:
    """Ask what may be asked twice until there is an answer. Raises NoAnswer in the end."""
    deadline = time.monotonic() + patience_seconds
    pause = threading.Event()
    while True:
        try:
            return act()
        except NoAnswer:
            if time.monotonic() > deadline:
                raise
            pause.wait(0.2)
