"""`make ha`: a whole cloud in namespaces, under load, while each of its parts is killed, stopped and cut off in turn.

Three servers behind HAProxy, PostgreSQL with a synchronous standby, two KVM hosts with an agent and a libvirtd each,
an active and a standby agent before one vCenter. After each fault the books are compared; at the end there is a table.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ha import faults, story
from ha.cloud import PROXY, Cloud
from ha.database import Databases
from ha.fault import Scene
from ha.holds import HoldsWatch
from ha.hypervisors import VCENTER, Hypervisors
from ha.load import Load, Wish
from ha.probe import Probe
from ha.story import Outcome
from testbed import audit
from testbed.netns import Network

SERVERS = ("server-1", "server-2", "server-3")
DATABASES = ("database-1", "database-2")
KVM = ("kvm-1", "kvm-2")
VSPHERE = ("vsphere-1", "vsphere-2")
FLAVOR = "42"
IMAGE_BYTES = 1 << 20
PAUSE_SECONDS = 1.5
LOG_LINES = 40
MOST_SERVERS = 100


def main() -> int:
    """Exit status 0 when nothing was lost, doubled or orphaned, and every promise of time was kept; else 1."""
    parser = argparse.ArgumentParser(prog="make ha", description=__doc__)
    parser.add_argument("--seed", type=int, help="decides what is asked for, and the order of the faults")
    parser.add_argument("--minutes", type=float, default=0, help="go on round after round for so long  [one round]")
    parser.add_argument("--only", default="", help="faults whose line in the table holds this text")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    begun = time.monotonic()
    print(f"SEED={seed}: the same seed asks for the same, and makes the same faults in the same order.", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pv-ha-", dir="/tmp")))
        stack.push(lambda kind, *_: tell_logs(folder) if kind is not None else None)
        scene = bring_up(stack, folder, seed)
        print(f"All of it is up after {time.monotonic() - begun:.0f} s.", flush=True)
        chosen = [fault for fault in faults.schedule(scene.cloud, seed) if arguments.only in fault.title]
        outcomes = story.play(scene, chosen, begun + 60 * arguments.minutes)
        status = conclude(scene, outcomes, seed)
        if status:
            tell_logs(folder)
    print(f"It took {(time.monotonic() - begun) / 60:.1f} minutes.", flush=True)
    return status


def bring_up(stack: ExitStack, folder: Path, seed: int) -> Scene:
    """Start everything, and the watchers; the load is ready to start."""
    network = stack.enter_context(Network(*SERVERS, PROXY, *DATABASES, *KVM, *VSPHERE, VCENTER))
    databases = stack.enter_context(Databases(network, DATABASES))
    print(f"PostgreSQL, primary and standby: {databases.url}", flush=True)
    hypervisors = stack.enter_context(Hypervisors(network, folder, KVM, VSPHERE))
    print("Two libvirtds, and a vCenter", flush=True)
    cloud = stack.enter_context(Cloud(network, folder, databases.url, SERVERS, hypervisors.plans()))
    cloud.wait_for_hosts(len(KVM) + 1)
    print(f"Three servers behind HAProxy at {cloud.urls[0]}, four agents", flush=True)
    cloud.allow(MOST_SERVERS)
    images = {
        kind: cloud.upload_image(f"for-{kind}", bytes(IMAGE_BYTES), img_hv_type=kind) for kind in ("qemu", "vmware")
    }
    wishes = [
        Wish(user=f"{kind}-{number}", image_id=image, flavor_id=FLAVOR)
        for kind, image in images.items()
        for number in range(1, 3)
    ]
    load = Load(cloud.client, wishes, seed, PAUSE_SECONDS)
    stack.callback(load.stop)
    probe, holds = Probe(cloud.client()), HoldsWatch(databases.url)
    for watcher in (probe, holds):
        watcher.start()
        stack.callback(watcher.stop)
    return Scene(cloud, databases, hypervisors, holds, load, probe)


def conclude(scene: Scene, outcomes: Sequence[Outcome], seed: int) -> int:
    """The table, the audit's sums, and whether all is well."""
    told = [complaint for outcome in outcomes for complaint in outcome.complaints]
    slow = [outcome for outcome in outcomes if outcome.too_slow]
    ledger = scene.load.ledger
    errors = [server for server in audit.read(scene.databases.url).servers if server.vm_state == "error"]
    print()
    print(story.table(outcomes))
    print()
    print(
        f"{len(outcomes)} faults (SEED={seed}). {len(ledger.created)} creates and {len(ledger.deleted)} deletes were "
        f"answered with success, {len(ledger.unanswered) + len(ledger.undecided)} got no answer; "
        f"{len(errors)} servers are in ERROR, each with its reason.\n"
        f"The audit: {audit.lost(told)} lost, {audit.doubled(told)} doubled, {audit.orphans(told)} orphans.",
        flush=True,
    )
    for server in errors:
        print(f"  ERROR {server.name}: {server.fault}")
    for outcome in slow:
        print(f"{outcome.fault.title}: {outcome.takeover_seconds:.1f} s is too slow.", flush=True)
    return 1 if told or slow else 0


def tell_logs(folder: Path) -> None:
    """The end of every program's log, for whoever has to find out why."""
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        print(f"--- the end of {log.name}", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
