"""`make demo`: bring up the cloud, show it, and leave nothing behind; with --keep it runs on until Ctrl-C."""

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from demo import story
from demo.beds import Beds
from demo.cloud import Cloud
from demo.terminal import DemoFailed, Terminal


def main() -> int:
    """Exit status 0 when all that was shown is true, 1 when something failed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="let it run on, servers and all, until Ctrl-C")
    parser.add_argument("--libvirt", metavar="URI", help="use this libvirt instead of one started for the demo")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    terminal = Terminal()
    start = time.monotonic()
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pv-demo-", dir="/tmp")))
            beds = stack.enter_context(Beds(terminal, folder, arguments.libvirt))
            cloud = stack.enter_context(Cloud(terminal, folder, beds))
            _show(terminal, beds, cloud, keep=arguments.keep)
    except DemoFailed as failure:
        terminal.fail(str(failure))
        return 1
    except KeyboardInterrupt:
        terminal.say("Stopped, and all that was started is gone.")
        return 0 if arguments.keep else 130
    terminal.say(f"All of it was true, and took {time.monotonic() - start:.0f} s.")
    return 0


def _show(terminal: Terminal, beds: Beds, cloud: Cloud, *, keep: bool) -> None:
    story.see_hypervisors(terminal)
    before = beds.everything()
    story.register_images_and_key(terminal, beds)
    story.boot_by_metadata(terminal)
    story.boot_anywhere(terminal)
    if keep:
        terminal.say(
            "The servers run on. Type in another terminal:",
            f"  export PATH={Path(sys.executable).parent}:$PATH OS_CLIENT_CONFIG_FILE={cloud.clouds_file}",
            "  export OS_CLOUD=polyvisor OS_COMPUTE_API_VERSION=2.74",
            "  openstack server list",
            "Ctrl-C here stops and removes everything.",
        )
        signal.pause()
    story.delete_everything(terminal)
    beds.expect_nothing_left(before)


if __name__ == "__main__":
    sys.exit(main())
