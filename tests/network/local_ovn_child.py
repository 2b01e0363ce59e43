"""Does for a test on a BareMachine what the start of `polyvisor up` does for networks, and what `network stop` does."""

import sys
from pathlib import Path

from polyvisor.network.local_ovn.chassis import Wanted
from polyvisor.network.local_ovn.keeping import LocalOvn
from polyvisor.network.local_ovn.trouble import Trouble


def main(data: Path, verb: str) -> None:
    """Print what the start message would tell, or the trouble, or the daemons that were ended."""
    local = LocalOvn(data / "ovn", Wanted(physical={"physnet1": "br-physnet1"}))
    if verb == "stop":
        print(*local.stop())
        return
    try:
        local.bring_up()
        print(local.told())
    except Trouble as error:
        print(f"trouble: {error}; chosen before: {local.chosen_before}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
