"""What was chosen to follow a run's network, kept beside it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from keras_unet3p.artifacts.json_artifact import JsonArtifact
from keras_unet3p.config import MEASURES


class PostprocessingRecord(JsonArtifact):
    """The `postprocessing.json` of a run folder: what follows the best network, and what it gains.

    Example:
        >>> record = PostprocessingRecord(
        ...     threshold=0.4, smallest_object=16, largest_hole=0, measure="ap", score=0.62,
        ...     default_score=0.58, epoch=12, images=8,
        ... )
        >>> record.rule()
        {'threshold': 0.4, 'smallest_object': 16, 'largest_hole': 0}
        >>> round(record.gain, 2), record.measure_name
        (0.04, 'AP (IoU 0.5 to 0.9)')
    """

    WAY_OUT: ClassVar[str] = (
        "restore it from a copy, give `train` the run's own options again, which chooses anew, or "
        "remove it: the threshold is then 0.5"
    )

    threshold: float = Field(gt=0, le=1)
    """With one class, a pixel is of class 1 from this probability on."""
    smallest_object: int = Field(ge=0)
    """Objects of fewer pixels are removed."""
    largest_hole: int = Field(ge=0)
    """Holes of at most so many pixels are filled; 0 for instances."""
    seed_threshold: float | None = Field(default=None, gt=0, le=1)
    """Of instances: a pixel is of a seed from this core on. None of class ids."""
    smallest_seed: int | None = Field(default=None, ge=0)
    """Of instances: seeds of fewer pixels are none."""
    smoothing: int = Field(default=0, ge=0)
    """Of instances: how often the maps are smoothed before."""
    test_time_augmentation: int = Field(default=1, ge=1, le=8)
    """Mirrored and turned versions of a tile whose mean the network's maps are; 1 for none."""
    measure: str
    """What was to become as large as possible: a name of `config.MEASURES`."""
    score: float
    """The measure on the validation images."""
    default_score: float
    """The same for the default, thresholds of 0.5."""
    single_score: float | None = None
    """The measure without such versions; None where they were not tried."""
    averaged_score: float | None = None
    """The same of the mean over 8; None where they were not tried."""
    curve: list[tuple[float, float]] = Field(default_factory=list)
    """Thresholds and the measure of each, nothing removed; of instances those of the seeds."""
    epoch: int | None = None
    """The epoch of the network that it was chosen for."""
    images: int
    """Number of the validation images."""

    @property
    def gain(self) -> float:
        """How much larger the measure is than for the default."""
        return self.score - self.default_score

    @property
    def measure_name(self) -> str:
        """The measure as people call it."""
        return MEASURES.get(self.measure, self.measure)

    @property
    def gives_instances(self) -> bool:
        """Whether it is the rule of instances, `postprocessing.InstanceRule`."""
        return self.seed_threshold is not None

    def rule(self) -> dict[str, Any]:
        """What `MaskRule.from_dict` or `InstanceRule.from_dict` of `postprocessing` reads."""
        names = ["threshold", "smallest_object"]
        names += (
            ["seed_threshold", "smallest_seed", "smoothing"]
            if self.gives_instances
            else ["largest_hole"]
        )
        return {name: getattr(self, name) for name in names}
