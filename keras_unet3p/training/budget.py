"""How long a run trains: a number of epochs, or hours."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from keras_unet3p.training.stretch import Stretch

_MEASURED_EPOCHS = 3

Row = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Budget:
    """The length of a run, and from its history what is left of it.

    A plan is made anew at the start of every epoch, and from the rows of `history.csv` alone. So a
    run that was killed and continued has the same plan as one that was not.

    Args:
        steps_per_epoch: steps between two validations.
        epochs: number of epochs of the whole run; not used if `hours` is given.
        hours: time of all epochs of the whole run together, validation included. The number of
            steps is planned from the median of the last epochs' seconds.

    Example:
        >>> Budget(steps_per_epoch=10, epochs=4).ahead([{"epoch": 1, "progress": 0.25}])
        Stretch(first_step=10, progress=0.25, steps=30, seconds=0.0)
        >>> rows = [{"epoch": 1, "progress": 0.1, "seconds": 360.0, "hours": 1.0}]
        >>> Budget(steps_per_epoch=10, hours=1.0).ahead(rows).steps
        90
        >>> rows.append({"epoch": 2, "progress": 1.0, "seconds": 3240.0, "hours": 1.0})
        >>> Budget(steps_per_epoch=10, hours=1.0).ahead(rows) is None
        True
        >>> Budget(steps_per_epoch=10, hours=2.0).ahead(rows)
        Stretch(first_step=0, progress=0.0, steps=10, seconds=3600.0)
    """

    steps_per_epoch: int
    epochs: int | None = None
    hours: float | None = None

    def ahead(self, rows: Sequence[Row]) -> Stretch | None:
        """The rest of a run; None if it is finished.

        Args:
            rows: the epochs that are done, as in `history.csv`. Their column `progress` is the
                share of the annealing that was done after the epoch, `hours` the time that the run
                had. After an epoch with a progress of 1 another plan begins at 0.
        """
        done = int(rows[-1]["epoch"]) if rows else 0
        began = max((int(row["epoch"]) for row in rows if _progress(row) >= 1), default=0)
        first = (done - began) * self.steps_per_epoch
        progress = _progress(rows[-1]) if done > began else 0.0
        if self.hours is None:
            epochs = (self.epochs or 0) - done
            return Stretch(first, progress, epochs * self.steps_per_epoch) if epochs > 0 else None
        if done and done == began and rows[-1].get("hours", 0.0) >= self.hours:
            return None
        seconds = self.hours * 3600 - sum(row.get("seconds", 0.0) for row in rows)
        steps = self._steps_in(seconds, rows)
        if seconds <= 0 or steps == 0:
            return None
        return Stretch(first, progress, steps, seconds)

    def _steps_in(self, seconds: float, rows: Sequence[Row]) -> int | None:
        """Steps that fit a time, whole epochs if the last one would be short; None if unknown."""
        measured = [row.get("seconds", 0.0) for row in rows]
        measured = measured[1:] or measured  # the first epoch is slower: it compiles
        # The median: an epoch in which a continued run compiles again does not count.
        epoch = statistics.median_low(measured[-_MEASURED_EPOCHS:]) if measured else 0.0
        if not epoch:
            return None
        steps = max(0, int(seconds / epoch * self.steps_per_epoch))
        whole, rest = divmod(steps, self.steps_per_epoch)
        if whole and 2 * rest < self.steps_per_epoch:
            return whole * self.steps_per_epoch
        return steps


def _progress(row: Row) -> float:
    return row.get("progress", 0.0)
