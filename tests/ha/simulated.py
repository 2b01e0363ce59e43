"""Simulated hypervisors for a cloud of real processes: one place with two agents, and one with an agent of its own."""

from pathlib import Path

from ha.cloud import AgentPlan
from testbed import looks
from testbed.audit import Look

SHARED, ALONE = "sim-1", "sim-2"
ACTIVE_AND_STANDBY = ("sim-1a", "sim-1b")
HOSTS = 2
# No `boot_seconds`: guests would come up by the clock of whichever agent booted them, and clocks jump here.
_SETTINGS = 'driver = "simulated"\nhosts = 1\ndelay_seconds = 0.1\nestate_path = "{}"'


class SimulatedHypervisors:
    """Estates in files, which agents share."""

    def __init__(self, folder: Path) -> None:
        self._files = {place: folder / f"{place}.db" for place in (SHARED, ALONE)}

    def plans(self) -> list[AgentPlan]:
        """Three agents for two places."""
        shared, alone = (_SETTINGS.format(self._files[place]) for place in (SHARED, ALONE))
        return [
            *(AgentPlan(name=name, place=SHARED, settings=shared) for name in ACTIVE_AND_STANDBY),
            AgentPlan(name=ALONE, place=ALONE, settings=alone),
        ]

    def looks(self) -> list[Look]:
        """The guests in the files."""
        return [look for place, file in self._files.items() for look in looks.simulated(place, file)]
