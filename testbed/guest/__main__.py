"""`python -m testbed.guest build`: build the guest image where it is not cached, and print where it lies."""

import sys
import time

from testbed.guest.build import build


def main(arguments: list[str]) -> int:
    """Exit status 2 for an unknown command."""
    if arguments != ["build"]:
        print("usage: python -m testbed.guest build", file=sys.stderr)
        return 2
    start = time.monotonic()
    image = build()
    for file in (image.qcow2, image.vmdk, image.raw, image.kernel, image.ramdisk):
        print(f"{file.stat().st_size:>12,} bytes  {file}")
    print(f"ready after {time.monotonic() - start:.1f} s")
    return 0


sys.exit(main(sys.argv[1:]))
