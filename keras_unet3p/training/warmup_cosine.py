"""The learning rate over a run: a linear warm-up, then a cosine to zero."""

from __future__ import annotations

import dataclasses
import math

_LONGEST_WARMUP = 0.05


@dataclasses.dataclass(frozen=True)
class WarmupCosine:
    """A learning rate that rises linearly and then falls along a cosine to zero.

    The warm-up ends after `warmup_steps` steps or 5 % of the run, whichever comes first. The cosine
    is a function of the share of the run that is done, not of the number of steps, so that it also
    fits runs that end by time.

    Args:
        peak: the learning rate after the warm-up, above 0.
        warmup_steps: longest warm-up, steps; 0 begins with the peak.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017
    (equation 5), with a warm-up.

    Example:
        >>> schedule = WarmupCosine(1e-3, warmup_steps=10)
        >>> [f"{schedule.rate(step, step / 1000, (step + 1) / 1000):.6f}" for step in (0, 9, 500)]
        ['0.000100', '0.001000', '0.000500']
    """

    peak: float
    warmup_steps: int = 200

    def rate(self, step: int, before: float, after: float) -> float:
        """The learning rate of a step.

        Args:
            step: number of the step since the run, or the extension of a run, began; from 0.
            before: share of it that is done before the step, 0 to 1.
            after: share of it that is done after the step, 0 to 1.
        """
        warm = 1.0
        if self.warmup_steps:
            warm = min(1.0, max((step + 1) / self.warmup_steps, after / _LONGEST_WARMUP))
        return self.peak * warm * 0.5 * (1 + math.cos(math.pi * before))
