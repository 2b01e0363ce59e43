"""What networks cost a client: `polyvisor up` on an OVN of its own, driven through the Networking API from outside.

    python -m bench.network_api

The hosts are simulated, OVN's databases and northd are real. Needs root, and the packages of setup/packages/ovn.txt.
"""

import socket
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.client import Cloud
from bench.own import own_cloud
from testbed.ovn import TestOvn

BULKS, IN_A_BULK = 20, 50
CLIENTS, ROUNDS_EACH, PORTS_EACH = 4, 5, 10
PATIENCE_SECONDS = 120.0
SETTINGS = """\
[network]
backend = "ovn"
ovn_northbound = "{northbound}"
ovn_southbound = "{southbound}"
[metrics]
listen = "127.0.0.1:{port}"
"""


def main() -> int:
    """Measure, and print a table."""
    with TestOvn() as ovn:
        for name, figure in measure(ovn).items():
            print(f"{name:36}{figure:12.4g}", flush=True)
    return 0


def measure(ovn: TestOvn) -> dict[str, float]:
    """Figures by their names."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = SETTINGS.format(northbound=ovn.northbound, southbound=ovn.southbound, port=port)
    with own_cloud(1, settings) as own:
        cloud = own.cloud
        cloud.log_in()
        quota = {"quota": dict.fromkeys(("network", "subnet", "port", "router"), -1)}
        _call(cloud, "PUT", f"/quotas/{cloud.project_id}", quota)
        return {
            "ovn_transactions_a_request": _transactions(cloud, Counters(port)),
            "ports_in_bulk_per_second": _in_bulk(cloud),
            "network_and_ten_ports_seconds": _one_by_one(cloud),
        }


class Counters:
    """What the cloud counts of its networks."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def now(self) -> tuple[float, float]:
        """Changes that were brought about, and transactions of OVN's."""
        with urllib.request.urlopen(self._url, timeout=30) as answer:
            told = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
        changes, transactions = (f"polyvisor_network_{name}_total" for name in ("changes", "transactions"))
        return float(told[changes]), float(told[transactions])

    def after(self, act: Callable[[], Any]) -> tuple[Any, float]:
        """What it returns, and how many transactions came of it once all of it is in OVN."""
        before, result = self.now(), act()
        deadline, last, now = time.monotonic() + PATIENCE_SECONDS, before, before
        while now == before or now != last:
            if time.monotonic() > deadline:
                raise TimeoutError("OVN does not hear of a request")
            time.sleep(0.2)
            last, now = now, self.now()
        return result, now[1] - before[1]


def _call(cloud: Cloud, method: str, path: str, body: Any = None) -> Any:
    return cloud.call("network", method, f"/v2.0{path}", body)


def _transactions(cloud: Cloud, counters: Counters) -> float:
    """Of requests that come one at a time, each of another kind."""
    counted: list[float] = []

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer, transactions = counters.after(lambda: _call(cloud, method, path, body))
        counted.append(transactions)
        return next(iter(answer.values())) if answer else None

    network = ask("POST", "/networks", {"network": {"name": "counted"}})
    subnet = ask("POST", "/subnets", {"subnet": {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24"}})
    port = ask("POST", "/ports", {"port": {"network_id": network["id"]}})
    many = [{"network_id": network["id"]} for _ in range(10)]
    ask("POST", "/ports", {"ports": many})
    ask("PUT", f"/ports/{port['id']}", {"port": {"port_security_enabled": False, "security_groups": []}})
    group = ask("POST", "/security-groups", {"security_group": {"name": "counted"}})
    rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": 22}
    ask("POST", "/security-group-rules", {"security_group_rule": {**rule, "port_range_max": 22}})
    router = ask("POST", "/routers", {"router": {"name": "counted"}})
    ask("PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    ask("PUT", f"/subnets/{subnet['id']}", {"subnet": {"dns_nameservers": ["10.0.0.53"]}})
    ask("DELETE", f"/ports/{port['id']}")
    return statistics.mean(counted)


def _network(cloud: Cloud, cidr: str) -> str:
    made = _call(cloud, "POST", "/networks", {"network": {"name": cidr}})["network"]
    _call(cloud, "POST", "/subnets", {"subnet": {"network_id": made["id"], "ip_version": 4, "cidr": cidr}})
    return str(made["id"])


def _in_bulk(cloud: Cloud) -> float:
    """Ports a second, by requests that make many each."""
    network = _network(cloud, "10.1.0.0/16")
    body = {"ports": [{"network_id": network} for _ in range(IN_A_BULK)]}
    begun = time.perf_counter()
    for _ in range(BULKS):
        _call(cloud, "POST", "/ports", body)
    return BULKS * IN_A_BULK / (time.perf_counter() - begun)


def _one_by_one(cloud: Cloud) -> float:
    """The median of rounds of several clients at once: a network, ten ports made one by one, and all removed again.

    As Rally's NeutronNetworks.create_and_delete_ports does it, whose networks have no subnets.
    """

    def rounds(_client: int) -> list[float]:
        return [_round(cloud) for _ in range(ROUNDS_EACH)]

    with ThreadPoolExecutor(CLIENTS) as clients:
        return statistics.median(taken for each in clients.map(rounds, range(CLIENTS)) for taken in each)


def _round(cloud: Cloud) -> float:
    begun = time.perf_counter()
    network = _call(cloud, "POST", "/networks", {"network": {"name": "round"}})["network"]["id"]
    made = [_call(cloud, "POST", "/ports", {"port": {"network_id": network}})["port"]["id"] for _ in range(PORTS_EACH)]
    for port in made:
        _call(cloud, "DELETE", f"/ports/{port}")
    taken = time.perf_counter() - begun
    _call(cloud, "DELETE", f"/networks/{network}")
    return taken


if __name__ == "__main__":
    sys.exit(main())
