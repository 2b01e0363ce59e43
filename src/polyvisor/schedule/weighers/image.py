"""Nearness of the image: best where its bytes lie ready, better where they need no conversion."""

import numpy as np

from polyvisor.model.host import HypervisorType
from polyvisor.model.image_format import form_for
from polyvisor.schedule.ask import Ask
from polyvisor.schedule.settings import ScheduleSettings
from polyvisor.schedule.table import HostTable
from polyvisor.schedule.weighers.weigher import Rows, Scores

_UNCONVERTED = 0.5


def weight(settings: ScheduleSettings) -> float:
    """How much it counts."""
    return settings.image_weight


def score(table: HostTable, rows: Rows, ask: Ask) -> Scores:
    """1 where the image is cached, a half where it only needs to be fetched, 0 where it must be converted too."""
    image, form = ask.request.image, ask.form
    if image is None or form is None:
        return np.zeros(len(rows))
    kinds = table.hypervisor_type
    unconverted = kinds.where(("as it is", form), lambda kind: form_for(HypervisorType(kind), form) == form, table.size)
    cached = table.images.having(image.id, table.size)
    return np.where(cached[rows], 1.0, unconverted[rows] * _UNCONVERTED)
