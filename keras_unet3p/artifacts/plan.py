"""The plan of a training: every choice with its reason."""

from __future__ import annotations

import html
from typing import Any, ClassVar

from keras_unet3p.artifacts.html_table import html_table
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
    memory: int | None = None
    """Bytes that the training will take at most, within a quarter; None where it is not known: on
    a GPU, or of a network to begin with."""
    memory_limit: int | None = None
    """Bytes that the machine has. The plan needs more where what was given leaves no choice."""

    def memory_sentence(self) -> str:
        """What the plan says of memory, for people; empty where nothing is known.

        Example:
            >>> plan = Plan(lines=[], steps=9, step_seconds=0.5, memory=1800000000)
            >>> plan.memory_sentence()
            'about 1.8 GB of memory'
        """
        if self.memory is None:
            return ""
        needed = f"about {self.memory / 1e9:.3g} GB of memory"
        if self.memory_limit is None:
            return needed
        has = f"{self.memory_limit / 1e9:.3g} GB"
        if self.memory > self.memory_limit:
            return f"{needed}, and this machine has {has}: the training will hardly fit"
        return f"{needed} of {has}"

    def _repr_html_(self) -> str:
        """For notebooks: every choice with its reason."""
        rows = [(line.name, line.value, line.reason) for line in self.lines]
        told = html.escape(self.memory_sentence())
        return html_table(["option", "value", "because"], rows) + (f"<p>{told}</p>" if told else "")

    def training(self) -> dict[str, Any]:
        """The options of `TrainingConfig` by name."""
        return {line.name: line.value for line in self.lines}

    def config(self) -> TrainingConfig:
        """The configuration of the training."""
        return TrainingConfig(**self.training())
