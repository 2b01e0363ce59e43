"""What control steps may use beside the store: the scheduler's table, settings, and sources of ids and chance."""

import random
import uuid
from collections.abc import Callable

from polyvisor.model.settings import ComputeSettings
from polyvisor.operate.estate import Estate
from polyvisor.operate.watch import UNWATCHED, Watch
from polyvisor.schedule.settings import ScheduleSettings


class ControlTools:
    """Handed to control steps. Chance and ids come from here, so that a seed replays a run."""

    def __init__(
        self, compute: ComputeSettings, schedule: ScheduleSettings, seed: int | None = None, watch: Watch = UNWATCHED
    ) -> None:
        self.compute = compute
        self.watch = watch
        self.chance = random.Random(seed)  # noqa: S311 - for spreading load, not for secrets
        self.estate = Estate(schedule, watch)
        self.new_id: Callable[[], str] = (
            (lambda: str(uuid.uuid4()))
            if seed is None
            else (lambda: str(uuid.UUID(int=self.chance.getrandbits(128), version=4)))
        )
