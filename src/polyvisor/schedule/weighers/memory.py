"""Free memory: more of it is better, or worse where servers are packed."""

import numpy as np

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import MEMORY, HostTable
from polyvisor.schedule.weighers.weigher import Rows, Scores, sign


def weight(settings: ScheduleSettings) -> float:
    """How much it counts."""
    return sign(settings) * settings.memory_weight


def score(table: HostTable, rows: Rows, ask: Ask) -> Scores:
    """MiB free on each host."""
    return np.asarray(table.free[MEMORY][rows], dtype=np.float64)
