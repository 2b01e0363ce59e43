"""What makes one fitting host better than another: one file each, added up by their weights."""

from typing import Protocol

import numpy as np

from polyvisor.schedule.ask import Ask
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable
from polyvisor.schedule.weighers import cpu, image, memory, servers
from polyvisor.schedule.weighers.weigher import Rows, Scores, normalised


class Weigher(Protocol):
    """A module that gives each fitting host a score."""

    def weight(self, settings: ScheduleSettings) -> float:
        """What the score, once it lies between 0 and 1, is multiplied by; below zero, less is better."""

    def score(self, table: HostTable, rows: Rows, ask: Ask) -> Scores:
        """A score in any unit for the host in each of these rows."""


WEIGHERS: tuple[Weigher, ...] = (memory, cpu, servers, image)


def weigh(table: HostTable, rows: Rows, ask: Ask, settings: ScheduleSettings) -> Scores:
    """The weight of each of these rows: the highest is the best host. `rows` must not be empty."""
    total = np.zeros(len(rows))
    for weigher in WEIGHERS:
        weight = weigher.weight(settings)
        if weight:
            total += weight * normalised(weigher.score(table, rows, ask))
    return total
