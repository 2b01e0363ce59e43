"""`make demo`: bring up the cloud, show it, and leave nothing behind; with --keep it runs on until Ctrl-C."""

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from demo import network, story
from demo.beds import Beds
from demo.cloud import Cloud
from demo.ground import Ground
from demo.leftovers import count, everything, expect_all_ended, expect_nothing_left
from demo.terminal import DemoFailed, Terminal


def main() -> int:
    """Exit status 0 when all that was shown is true, 1 when something failed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="let it run on, servers and all, until Ctrl-C")
    parser.add_argument("--libvirt", metavar="URI", help="use this libvirt, and show no networks")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end_once)
    with Terminal() as terminal:
        return _run(terminal, arguments)


def _run(terminal: Terminal, arguments: argparse.Namespace) -> int:
    start = time.monotonic()
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pv-demo-", dir="/tmp")))
            beds = stack.enter_context(Beds(terminal, folder, arguments.libvirt))
            cloud = stack.enter_context(Cloud(terminal, folder, beds))
            _show(terminal, beds, cloud, keep=arguments.keep)
        expect_all_ended(terminal, beds)
    except DemoFailed as failure:
        terminal.fail(str(failure))
        return 1
    except KeyboardInterrupt:
        terminal.say("Stopped, and all that was started is gone.")
        return 0 if arguments.keep else 130
    terminal.say(f"All of it was true, and took {time.monotonic() - start:.0f} s.")
    return 0


def _end_once(number: int, _frame: object) -> None:
    """Remove all that was started. A second Ctrl-C, of somebody impatient, does not break that off."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _show(terminal: Terminal, beds: Beds, cloud: Cloud, *, keep: bool) -> None:
    story.see_hypervisors(terminal)
    if beds.ground:
        _show_networks(terminal, beds, beds.ground, cloud, keep=keep)
        return
    before = everything(beds)
    story.register_images_and_key(terminal, beds)
    story.boot_by_metadata(terminal)
    story.read_consoles(terminal)
    story.boot_anywhere(terminal)
    if keep:
        _keep(terminal, cloud)
    count(terminal, beds, before)
    story.delete_everything(terminal)
    expect_nothing_left(terminal, beds, before)


def _show_networks(terminal: Terminal, beds: Beds, ground: Ground, cloud: Cloud, *, keep: bool) -> None:
    network.see_security_group(terminal)
    before = everything(beds)
    story.register_images_and_key(terminal, beds)
    network.make_network(terminal)
    story.boot_by_metadata(terminal, f"--network {network.NETWORK}")
    floating = network.open_to_outside(terminal, ground, story.BY_METADATA)
    story.read_consoles(terminal, "metadata")
    rule = network.reach_from_outside(terminal, ground, floating)
    network.ping_each_other(terminal, ground, floating)
    story.boot_anywhere(terminal)
    if keep:
        logins = [f"  {ground.ssh(address)}  # {name}" for name, address in floating.items()]
        _keep(terminal, cloud, *logins, f"  {ground.show_rows}")
    network.close_again(terminal, ground, floating, rule)
    count(terminal, beds, before)
    story.delete_everything(terminal)
    network.remove(terminal, floating)
    expect_nothing_left(terminal, beds, before)


def _keep(terminal: Terminal, cloud: Cloud, *more: str) -> None:
    terminal.say(
        "The servers run on. Type in another terminal:",
        f"  export PATH={Path(sys.executable).parent}:$PATH OS_CLIENT_CONFIG_FILE={cloud.clouds_file}",
        "  export OS_CLOUD=polyvisor OS_COMPUTE_API_VERSION=2.74 no_proxy='*'",
        "  openstack server list",
        *more,
        "Ctrl-C here stops and removes everything.",
    )
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
