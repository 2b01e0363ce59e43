"""`make bench`: this cloud on simulated hosts, and beside it any other OpenStack cloud, in one run."""

import argparse
import json
import sys
import time
from pathlib import Path

from bench import agents, image, placement, several_servers
from bench.client import from_openrc
from bench.compute import Bench
from bench.own import own_cloud

HIGHER_IS_BETTER = ("per_second",)


def main() -> int:
    """Measure, print a table, and with --json write the figures to a file."""
    options = _options()
    own = _measure_own(options)
    peer = _measure_peer(options) if options.peer else {}
    _print(own, peer)
    if options.json:
        options.json.write_text(json.dumps({"polyvisor": own, "peer": peer}, indent=2) + "\n", encoding="utf-8")
    status = 0
    if not options.no_placement:
        print()
        status = placement.main([])
    if options.machines:
        _print_alone(f"{options.machines} agents on one server", agents.measure(options.machines))
        _print_alone("servers on PostgreSQL, by the number of API processes", several_servers.measure())
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--peer", type=Path, help="openrc file of another OpenStack cloud (its administrator's)")
    parser.add_argument(
        "--peer-pids",
        default="",
        help="its processes' ids or pid files, separated by commas, to count its CPU and memory",
    )
    parser.add_argument("--servers", type=int, default=200, help="servers booted at once (default: 200)")
    parser.add_argument("--grow", type=int, default=1000, help="servers listed at the end (default: 1000)")
    parser.add_argument("--concurrency", type=int, default=8, help="clients at once (default: 8)")
    parser.add_argument("--hosts", type=int, default=8, help="simulated hosts (default: 8)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument(
        "--machines", type=int, default=0, metavar="AGENTS",
        help="also measure so many agents on one server, and one, two and four servers on PostgreSQL (default: 0, not)",
    )  # fmt: skip
    parser.add_argument("--no-placement", action="store_true", help="leave out the scheduler's own benchmark")
    return parser.parse_args()


def _measure_own(options: argparse.Namespace) -> dict[str, float]:
    print(f"polyvisor up --simulated {options.hosts}: {options.servers} servers, {options.concurrency} clients …")
    with own_cloud(options.hosts) as own:
        first = Bench(own.cloud, [own.process.pid], options.concurrency)
        first.cloud.log_in()
        first.prepare()
        first.single_boots(1)
        until_first = time.perf_counter() - own.started
        first.delete_all()
        first.clean_up()
        figures = Bench(own.cloud, [own.process.pid], options.concurrency).all(options.servers, options.grow)
        figures |= image.measure(own.cloud)
    return {"start_to_first_active_seconds": until_first, **figures}


def _measure_peer(options: argparse.Namespace) -> dict[str, float]:
    print(f"the peer of {options.peer}: the same …")
    named = [name for name in options.peer_pids.split(",") if name]
    pids = [int(name) if name.isdigit() else int(Path(name).read_text(encoding="utf-8")) for name in named]
    cloud = from_openrc(options.peer)
    return {**Bench(cloud, pids, options.concurrency).all(options.servers, options.grow), **image.measure(cloud)}


def _print_alone(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"{name:36}{value:12.4g}")


def _print(own: dict[str, float], peer: dict[str, float]) -> None:
    print(f"\n{'':36}{'polyvisor':>12}" + (f"{'peer':>12}{'ratio':>10}" if peer else ""))
    for name, value in own.items():
        line = f"{name:36}{value:12.4g}"
        other = peer.get(name)
        if other:
            better = value / other if any(word in name for word in HIGHER_IS_BETTER) else other / value
            line += f"{other:12.4g}{better:9.1f}x"
        print(line)
    if peer:
        print("\nratio: how many times better this cloud is (more per second, or fewer seconds, CPU and memory).")


if __name__ == "__main__":
    sys.exit(main())
