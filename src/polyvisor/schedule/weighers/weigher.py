"""What a weigher is made of."""

import numpy as np
import numpy.typing as npt

from polyvisor.schedule.settings import ScheduleSettings, Strategy

Rows = npt.NDArray[np.intp]
Scores = npt.NDArray[np.float64]


def sign(settings: ScheduleSettings) -> float:
    """1 to prefer room, -1 to prefer hosts that are nearly full."""
    return 1.0 if settings.strategy is Strategy.SPREAD else -1.0


def normalised(scores: Scores) -> Scores:
    """Scores from 0 (the lowest) to 1 (the highest); all 0 where they are equal, as Nova does it."""
    lowest, highest = scores.min(), scores.max()
    if lowest == highest:
        return np.zeros(len(scores))
    scaled: Scores = (scores - lowest) / (highest - lowest)
    return scaled
