"""The life of servers, measured through the API of any OpenStack cloud: boot, list, show, delete, log in."""

import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.client import Cloud
from bench.processes import cpu_seconds, pss_mib

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 1800.0


class Bench:
    """One run against one cloud; `figures` collects what was measured, by name."""

    def __init__(self, cloud: Cloud, pids: Iterable[int], concurrency: int) -> None:
        self.cloud, self.pids, self.concurrency = cloud, list(pids), concurrency
        self.figures: dict[str, float] = {}
        self.run = f"bench-{uuid.uuid4().hex[:8]}"
        self.flavor = self.image = ""

    def all(self, servers: int, grow: int) -> dict[str, float]:
        """Every phase, in order."""
        self.cloud.log_in()
        if self.pids:
            self.figures["idle_pss_mib"] = pss_mib(self.pids)
        self.prepare()
        self.single_boots(5)
        self.boot_many(servers)
        self.lists("", 20)
        self.shows(400)
        if grow > servers:
            self.boot_many(grow - servers, name="grow")
            self.lists("_grown", 10)
        self.tokens(50)
        self.delete_all()
        self.clean_up()
        return self.figures

    def prepare(self) -> None:
        """Room in the quota, a flavor, and an image of one MiB of zeros."""
        lifted = {"quota_set": {"instances": -1, "cores": -1, "ram": -1, "force": True}}
        self.cloud.call("compute", "PUT", f"/os-quota-sets/{self.cloud.project_id}", lifted)
        flavor = {"name": self.run, "ram": 64, "vcpus": 1, "disk": 1}
        self.flavor = self.cloud.call("compute", "POST", "/flavors", {"flavor": flavor})["flavor"]["id"]
        base = self.cloud.endpoints["image"]
        prefix = "" if base.endswith("/v2") else "/v2"
        body = {"name": self.run, "disk_format": "raw", "container_format": "bare"}
        self.image = self.cloud.call("image", "POST", f"{prefix}/images", body)["id"]
        url = f"{base}{prefix}/images/{self.image}/file"
        status, _, answer = self.cloud.raw("PUT", url, bytes(1 << 20), {"Content-Type": "application/octet-stream"})
        if status != 204:
            raise RuntimeError(f"the image was not taken: {status} {answer[:300]!r}")

    def boot(self, name: str) -> str:
        """Ask for one server; returns its id."""
        body = {"name": name, "flavorRef": self.flavor, "imageRef": self.image, "networks": "none"}
        server = self.cloud.call("compute", "POST", "/servers", {"server": body})["server"]
        return str(server["id"])

    def single_boots(self, count: int) -> None:
        """One at a time: from the request to ACTIVE."""
        took = []
        for number in range(count):
            began = time.perf_counter()
            id = self.boot(f"{self.run}-single-{number}")
            self._until(lambda id=id: self._status(id) != "BUILD", 0.005)  # type: ignore[misc]
            took.append(time.perf_counter() - began)
        self.figures["single_boot_seconds"] = statistics.median(took)

    def boot_many(self, count: int, name: str = "many") -> None:
        """At once: until the last one is ACTIVE."""
        cpu, began = cpu_seconds(self.pids), time.perf_counter()
        with ThreadPoolExecutor(self.concurrency) as pool:
            list(pool.map(self.boot, (f"{self.run}-{name}-{number}" for number in range(count))))
        accepted = time.perf_counter() - began
        self._until(lambda: not self._ids("BUILD"), POLL_SECONDS)
        took = time.perf_counter() - began
        failed = self._ids("ERROR")
        if failed:
            raise RuntimeError(f"{len(failed)} servers went to ERROR: {self._fault(failed[0])}")
        suffix = "" if name == "many" else f"_{name}"
        self.figures[f"accepted_per_second{suffix}"] = count / accepted
        self.figures[f"active_per_second{suffix}"] = count / took
        if self.pids:
            self.figures[f"cpu_seconds_per_server{suffix}"] = (cpu_seconds(self.pids) - cpu) / count

    def lists(self, suffix: str, samples: int) -> None:
        """The lists of servers, short and in full."""
        for label, path in (("list", "/servers?limit=1000"), ("detail", "/servers/detail?limit=1000")):
            took = [_timed(lambda path=path: self.cloud.call("compute", "GET", path)) for _ in range(samples)]  # type: ignore[misc]
            self.figures[f"{label}_seconds{suffix}"] = statistics.median(took)
        found = self.cloud.call("compute", "GET", "/servers/detail?limit=1000")["servers"]
        self.figures[f"listed{suffix}"] = len(found)

    def shows(self, count: int) -> None:
        """One server at a time, by one client and by several."""
        ids = self._ids()
        for clients in (1, self.concurrency):
            wanted = [ids[number % len(ids)] for number in range(count)]
            began = time.perf_counter()
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(lambda id: self.cloud.call("compute", "GET", f"/servers/{id}"), wanted))
            self.figures[f"shows_per_second_by_{clients}"] = count / (time.perf_counter() - began)

    def tokens(self, count: int) -> None:
        """Password logins, one after the other: the first of a user, and repeated ones."""
        self.figures["first_token_seconds"] = _timed(self.cloud.ask_for_token)
        began = time.perf_counter()
        for _ in range(count):
            self.cloud.ask_for_token()
        self.figures["tokens_per_second"] = count / (time.perf_counter() - began)

    def delete_all(self) -> None:
        """At once: until the last one is gone."""
        ids = self._ids()
        began = time.perf_counter()
        with ThreadPoolExecutor(self.concurrency) as pool:
            list(pool.map(lambda id: self.cloud.call("compute", "DELETE", f"/servers/{id}"), ids))
        self._until(lambda: not self._ids(), POLL_SECONDS)
        self.figures["deleted_per_second"] = len(ids) / (time.perf_counter() - began)

    def clean_up(self) -> None:
        """Remove the flavor and the image."""
        prefix = "" if self.cloud.endpoints["image"].endswith("/v2") else "/v2"
        self.cloud.call("image", "DELETE", f"{prefix}/images/{self.image}")
        self.cloud.call("compute", "DELETE", f"/flavors/{self.flavor}")

    def _status(self, id: str) -> str:
        return str(self.cloud.call("compute", "GET", f"/servers/{id}")["server"]["status"])

    def _fault(self, id: str) -> Any:
        return self.cloud.call("compute", "GET", f"/servers/{id}")["server"].get("fault")

    def _ids(self, status: str = "") -> list[str]:
        """This run's servers, page by page."""
        found: list[str] = []
        query = f"name={self.run}&limit=1000" + (f"&status={status}" if status else "")
        marker = ""
        while True:
            page = self.cloud.call("compute", "GET", f"/servers?{query}{marker}")["servers"]
            found += [server["id"] for server in page]
            if len(page) < 1000:
                return found
            marker = f"&marker={page[-1]['id']}"

    def _until(self, done: Callable[[], bool], pause_seconds: float) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = threading.Event()
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError("the cloud did not get there in time")
            pause.wait(pause_seconds)


def _timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
