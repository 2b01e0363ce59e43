"""Servers on a host: fewer are better, or worse where servers are packed."""

import numpy as np

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable
from polyvisor.schedule.weighers.weigher import Rows, Scores, sign


def weight(settings: ScheduleSettings) -> float:
    """How much it counts."""
    return -sign(settings) * settings.servers_weight


def score(table: HostTable, rows: Rows, ask: Ask) -> Scores:
    """Servers on each host."""
    return np.asarray(table.servers[rows], dtype=np.float64)
