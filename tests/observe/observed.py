"""A running cloud that is watched: logs in JSON at debug, traces to a receiver, metrics on a free port."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from prometheus_client.samples import Sample

from tests.clients.cloud import ADMIN, RunningCloud
from tests.observe.receiver import Receiver

PATIENCE_SECONDS = 180
IMAGE = "observed-image"
_CONFIG = """
log_level = "debug"
log_format = "json"
[metrics]
listen = "127.0.0.1:0"
[traces]
endpoint = "{endpoint}"
[schedule]
max_attempts = 1
[[hypervisor]]
name = "estate"
driver = "simulated"
hosts = 3
"""


def wait_for(look: Callable[[], Any], what: str) -> Any:
    """What `look` returns, once it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.05)
    return found


class ObservedCloud(RunningCloud):
    """`polyvisor up` with three simulated hosts."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "polyvisor.toml"
        config.write_text(_CONFIG.format(endpoint=receiver.url))
        super().__init__(folder, "--config", str(config))
        self.receiver = receiver

    def begin(self) -> None:
        """Start it, and give the member an image."""
        self.start(environment={"OTEL_BSP_SCHEDULE_DELAY": "100"})
        raw = self.data.parent / "image.raw"
        raw.write_bytes(bytes(1024**2))
        words = ("image", "create", "--disk-format", "raw", "--file", str(raw), "--public", IMAGE)
        self.openstack(*words, cloud=ADMIN)

    @property
    def metrics_url(self) -> str:
        """Where it says that its metrics are."""
        found = re.findall(r"^Metrics: (\S+)", self.logged(), re.MULTILINE)
        return str(found[-1])

    def scrape(self, *, as_openmetrics: bool = False) -> list[Sample]:
        """Every sample of /metrics, by the client library's own parser, once the store was read in time for it."""
        found: list[Sample] = []

        def whole() -> bool:
            found[:] = self._scrape(as_openmetrics)
            return any(sample.name == "polyvisor_store_readable" and sample.value == 1 for sample in found)

        wait_for(whole, "the store is read in time")
        return found

    def _scrape(self, as_openmetrics: bool) -> list[Sample]:
        accept = "application/openmetrics-text; version=1.0.0" if as_openmetrics else "text/plain"
        answer = requests.get(self.metrics_url, headers={"Accept": accept}, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(accept.partition(";")[0])
        parse = openmetrics if as_openmetrics else prometheus
        return [sample for family in parse(answer.text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """One sample's value; None where it is not told."""
        for sample in self.scrape():
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
        return None

    def becomes(self, wanted: float, name: str, **labels: str) -> None:
        """Wait until a sample has this value: what is counted is counted a moment after it happened."""
        wait_for(lambda: self.value(name, **labels) == wanted, f"{name} {labels} is {wanted}")

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines of the log, but for one that is just being written."""
        for line in self.logged().rpartition("\n")[0].splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def call(
        self, method: str, path: str, body: Any = None, *, token: str = "", headers: dict[str, str] | None = None
    ) -> requests.Response:
        """One request; `path` below the cloud's address."""
        sent = {"X-OpenStack-Nova-API-Version": "2.90", **({"X-Auth-Token": token} if token else {}), **(headers or {})}
        return requests.request(method, self.url + path, json=body, headers=sent, timeout=PATIENCE_SECONDS)

    def boot(self, token: str, name: str, *, headers: dict[str, str] | None = None, **more: Any) -> str:
        """Ask for a server, wait until it is ACTIVE, and return its id."""
        image = self.call("GET", f"/image/v2/images?name={IMAGE}", token=token).json()["images"][0]["id"]
        flavors = self.call("GET", "/compute/v2.1/flavors", token=token).json()["flavors"]
        flavor = next(each["id"] for each in flavors if each["name"] == "m1.nano")
        wanted = {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "none", **more}
        answer = self.call("POST", "/compute/v2.1/servers", {"server": wanted}, token=token, headers=headers)
        assert answer.status_code == 202, answer.text
        id = str(answer.json()["server"]["id"])
        self.reach(token, id, "ACTIVE")
        return id

    def reach(self, token: str, id: str, status: str) -> None:
        """Wait for a server's status."""
        path = f"/compute/v2.1/servers/{id}"
        look = lambda: self.call("GET", path, token=token).json()["server"]["status"] == status  # noqa: E731
        wait_for(look, f"{id} is {status}")

    def refused(self, headers: dict[str, str] | None = None) -> str:
        """Ask for a server that no host can hold, as the administrator; its id, once it is in ERROR."""
        admin = self.token("polyvisor-admin")
        flavor = {"flavor": {"name": f"vast-{time.monotonic_ns()}", "ram": 2**30, "vcpus": 1, "disk": 1}}
        made = self.call("POST", "/compute/v2.1/flavors", flavor, token=admin).json()["flavor"]["id"]
        image = self.call("GET", "/image/v2/images", token=admin).json()["images"][0]["id"]
        own = self.call("GET", "/identity/v3/auth/tokens", token=admin, headers={"X-Subject-Token": admin}).json()
        quota = f"/compute/v2.1/os-quota-sets/{own['token']['project']['id']}"
        assert self.call("PUT", quota, {"quota_set": {"ram": -1}}, token=admin).ok
        body = {"server": {"name": "vast", "imageRef": image, "flavorRef": made, "networks": "none"}}
        answer = self.call("POST", "/compute/v2.1/servers", body, token=admin, headers=headers)
        id = str(answer.json()["server"]["id"])
        self.reach(admin, id, "ERROR")
        return id

    def gone(self, token: str, id: str) -> None:
        """Delete a server, and wait until it is gone."""
        assert self.call("DELETE", f"/compute/v2.1/servers/{id}", token=token).status_code == 204
        look = lambda: self.call("GET", f"/compute/v2.1/servers/{id}", token=token).status_code == 404  # noqa: E731
        wait_for(look, f"{id} is gone")

    def log_in(self, user: str, password: str, project: str) -> str:
        """A token."""
        named = {"name": user, "password": password, "domain": {"name": "Default"}}
        scope = {"project": {"name": project, "domain": {"name": "Default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": named}}, "scope": scope}}
        answer = self.call("POST", "/identity/v3/auth/tokens", body)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def first_user(self, name: str) -> tuple[str, str, str]:
        """User, password and project of "polyvisor" or "polyvisor-admin"."""
        clouds = json.loads(self.clouds_file.read_text().partition("\n")[2])["clouds"]
        auth = clouds[name]["auth"]
        return auth["username"], auth["password"], auth["project_name"]

    def token(self, name: str = "polyvisor") -> str:
        """A token of the first member, or of the administrator."""
        return self.log_in(*self.first_user(name))
