"""The plan of a training: every choice with its reason."""

from __future__ import annotations

from typing import Any, ClassVar

from keras_unet3p.artifacts.json_artifact import JsonArtifact
from keras_unet3p.artifacts.section import Section
from keras_unet3p.config import TrainingConfig


class PlanLine(Section):
    """One choice.

    Example:
        >>> PlanLine(name="filters", value=16, reason="steps count for more").value
        16
    """

    name: str
    """An option of `TrainingConfig`."""
    value: Any
    """What was chosen."""
    reason: str
    """Why, in a sentence."""


class Plan(JsonArtifact):
    """The `plan.json` of a run, or of `unet3p plan`.

    Example:
        >>> line = PlanLine(name="filters", value=16, reason="steps count for more")
        >>> plan = Plan(lines=[line], steps=6000, step_seconds=0.55)
        >>> plan.training(), plan.config().filters
        ({'filters': 16}, 16)
    """

    WAY_OUT: ClassVar[str] = "restore it from a copy, or plan again"

    lines: list[PlanLine]
    """The choices, in the order in which they were made."""
    steps: int
    """That the training will take, as far as it can be told; 0 where epochs decide."""
    step_seconds: float
    """Time of one of them, with its share of the validation."""

    def training(self) -> dict[str, Any]:
        """The options of `TrainingConfig` by name."""
        return {line.name: line.value for line in self.lines}

    def config(self) -> TrainingConfig:
        """The configuration of the training."""
        return TrainingConfig(**self.training())
