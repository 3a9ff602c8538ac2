"""What is planned for the rest of a run."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Stretch:
    """The rest of a run, as it is planned at the start of an epoch.

    Args:
        first_step: steps that were done before it, since the run or its last extension began.
        progress: share of the annealing that was done before it, 0 to 1.
        steps: number of steps to its end; None if the time of a step is not known yet.
        seconds: time to its end; used if `steps` is None.

    Example:
        >>> Stretch(first_step=30, progress=0.25, steps=30).progress_after(10)
        0.5
        >>> Stretch(first_step=0, progress=0.0, seconds=60.0).progress_after(10, 15.0)
        0.25
    """

    first_step: int
    progress: float
    steps: int | None = None
    seconds: float = 0.0

    def progress_after(self, steps: int, seconds: float = 0.0) -> float:
        """Share of the annealing, 0 to 1, that is done after `steps` steps and `seconds` of it."""
        done, whole = (seconds, self.seconds) if self.steps is None else (steps, self.steps)
        # Written so that the end is exactly 1.
        return 1 - (1 - self.progress) * (1 - min(1.0, done / whole))
