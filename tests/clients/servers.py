"""Servers of the member's project in a running cloud, for the tests of their life and of what is refused."""

import time
from collections.abc import Callable
from typing import Any

from tests.clients.cloud import ADMIN, RunningCloud

TIMEOUT_SECONDS = 180
IMAGE = "server-image"
KEY = "server-key"


def wait_until(true: Callable[[], Any], what: str) -> None:
    """Look again and again."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"not within {TIMEOUT_SECONDS} s: {what}"
        time.sleep(0.05)


class Servers:
    """Makes and ends servers of the member's project; `openstack` for what is tested, openstacksdk to look on."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.compute = cloud.sdk().compute
        self._all = cloud.sdk(ADMIN).compute

    def boot(self, name: str, *options: str, cloud: str = "polyvisor") -> str:
        """`openstack server create` without networks; returns the server's id when it is ACTIVE."""
        words = ("server", "create", "--image", IMAGE, "--flavor", "m1.nano", "--nic", "none", *options, name)
        id = str(self.cloud.ask(*words, cloud=cloud)["id"])
        self.reach(id, "ACTIVE")
        return id

    def reach(self, id: str, status: str) -> None:
        """Wait for a status."""
        wait_until(lambda: self._all.get_server(id).status == status, f"{id} is {status}")

    def refusal(self, *options: str, image: str = IMAGE, flavor: str = "m1.nano", cloud: str = "polyvisor") -> str:
        """What `openstack server create` says when it is refused."""
        words = ("server", "create", "--image", image, "--flavor", flavor, "--nic", "none", *options, "refused")
        said = self.cloud.refusal(*words, cloud=cloud)
        assert "Traceback" not in said
        return said
