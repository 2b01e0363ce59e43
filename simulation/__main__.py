"""`python -m simulation`: histories of a whole cloud, each decided by its seed, with faults and invariants."""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator

from simulation.faults import KINDS
from simulation.history import Outcome
from simulation.invariants import INVARIANTS
from simulation.plants import PLANTS
from simulation.run import MOST_FAULTS, SECONDS, run


def main(arguments: list[str] | None = None) -> int:
    """Run, print the figures, and exit with 1 where an invariant was broken."""
    options = _options(arguments)
    if options.list:
        _list()
        return 0
    found = run(
        _seeds(options),
        most_faults=options.faults,
        seconds=options.window,
        kinds=tuple(options.only),
        plant=options.plant,
        shrunken=not options.no_shrink,
        each=_show if options.trace else _nothing,
    )
    print(found.figures.text())
    print()
    print(found.text())
    return 0 if found.failed is None else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seed", default="1", help="seed of the first history, any word; a number counts up (1)")
    parser.add_argument("--histories", type=int, default=1, help="how many histories (1)")
    parser.add_argument("--seconds", type=float, default=0.0, help="go on for so many real seconds instead")
    parser.add_argument("--faults", type=int, default=MOST_FAULTS, help=f"most faults in a history ({MOST_FAULTS})")
    parser.add_argument(
        "--window", type=float, default=SECONDS, help=f"virtual seconds in which wishes and faults begin ({SECONDS:g})"
    )
    parser.add_argument(
        "--only", action="append", default=[], choices=sorted(KINDS), help="only such faults; repeatable"
    )
    parser.add_argument("--plant", default="", choices=["", *PLANTS], help="plant this bug, to see it found")
    parser.add_argument("--trace", action="store_true", help="print what happens in every history")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for what a broken history really takes")
    parser.add_argument("--list", action="store_true", help="list faults, invariants and planted bugs, and end")
    return parser.parse_args(arguments)


def _seeds(options: argparse.Namespace) -> Iterator[str]:
    """The first is the given one; the others count on from it."""
    began = time.monotonic()
    for number in itertools.count():
        if options.seconds:
            if time.monotonic() - began >= options.seconds:
                return
        elif number >= options.histories:
            return
        if options.seed.isdigit():
            yield str(int(options.seed) + number)
        else:
            yield options.seed if number == 0 else f"{options.seed}-{number}"


def _show(outcome: Outcome) -> None:
    print(f"History of seed {outcome.plan.seed}:")
    print(outcome.trace.text())
    print()


def _nothing(_outcome: Outcome) -> None:
    """Without --trace nothing is shown of histories that go well."""


def _list() -> None:
    print("Faults:")
    for kind, strike in KINDS.items():
        print(f"  {kind:28}{strike.__doc__ or ''}")
    print("Invariants:")
    for name, sentence in INVARIANTS.items():
        print(f"  {name:28}{sentence}")
    print("Planted bugs:")
    for name, plant in PLANTS.items():
        print(f"  {name:28}{plant.what}")


if __name__ == "__main__":
    sys.exit(main())
