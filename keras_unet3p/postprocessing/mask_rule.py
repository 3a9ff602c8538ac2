"""What follows the network: how probabilities become the class ids of a mask."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.postprocessing.class_ids import to_class_ids

_SIZES = ("smallest_object", "largest_hole")


@dataclasses.dataclass(frozen=True)
class MaskRule:
    """From probabilities to class ids: a threshold, then small objects and holes are removed.

    Objects are the 4-connected regions of one class. Holes are the 8-connected regions of
    background that do not reach the edge of the image and touch one class only. Objects are removed
    before holes are filled. For instances the rule comes before `label_instances`.

    Args:
        threshold: with one class, a pixel is of class 1 from this probability on; above 0, at most
            1. With several classes the most probable one is taken, and it has no effect.
        smallest_object: objects of fewer pixels become background; 0 keeps all.
        largest_hole: holes of at most so many pixels become the class around them; 0 keeps all.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> probabilities = np.zeros((7, 9, 1), np.float32)
        >>> probabilities[1:6, 1:6] = 0.4
        >>> probabilities[3, 3] = probabilities[1, 8] = 0.9
        >>> int(MaskRule().class_ids(probabilities).sum())
        2
        >>> rule = MaskRule(threshold=0.4, smallest_object=2)
        >>> int(rule.class_ids(probabilities).sum())
        25
        >>> rule.to_dict()
        {'threshold': 0.4, 'smallest_object': 2, 'largest_hole': 0}
    """

    threshold: float = 0.5
    smallest_object: int = 0
    largest_hole: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise InputError(f"threshold must be above 0 and at most 1, found {self.threshold}")
        for name in _SIZES:
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 0:
                raise InputError(f"{name} must be a whole number of at least 0, found {value!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MaskRule:
        """The rule of a run's record or of a model card; entries that it does not know are no part.

        Example:
            >>> MaskRule.from_dict({"smallest_object": 9, "measure": "dice"}).smallest_object
            9
        """
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: values[name] for name in names if name in values})

    def to_dict(self) -> dict[str, Any]:
        """As a dictionary that JSON takes; `from_dict` reads it."""
        return dataclasses.asdict(self)

    def class_ids(self, probabilities: np.ndarray) -> np.ndarray:
        """Class ids (H, W) of probabilities (H, W, K); see `to_class_ids` for their type."""
        return self.cleaned(to_class_ids(probabilities, self.threshold))

    def cleaned(self, class_ids: np.ndarray) -> np.ndarray:
        """Class ids without small objects and holes; the same array where nothing is to be removed.

        For masks in which the threshold is already applied, such as those of an endpoint.

        Args:
            class_ids: (H, W) integers, 0 the background.
        """
        if self.smallest_object > 1:
            class_ids = _without_small_objects(class_ids, self.smallest_object)
        if self.largest_hole:
            class_ids = _without_holes(class_ids, self.largest_hole)
        return class_ids


def _regions(mask: np.ndarray, connectivity: int) -> tuple[np.ndarray, np.ndarray]:
    """Label image (H, W) of a mask's regions, 0 outside, and (N, 5) `cv2.CC_STAT_*` of each."""
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(
        np.asarray(mask, np.uint8), connectivity=connectivity
    )
    return np.asarray(regions, np.int64), np.asarray(statistics)


def _without_small_objects(class_ids: np.ndarray, smallest: int) -> np.ndarray:
    cleaned = class_ids.copy()
    for value in np.unique(class_ids[class_ids > 0]).tolist():
        regions, statistics = _regions(class_ids == value, 4)
        small = statistics[:, cv2.CC_STAT_AREA] < smallest
        small[0] = False
        if small.any():
            cleaned[small[regions]] = 0
    return cleaned


def _without_holes(class_ids: np.ndarray, largest: int) -> np.ndarray:
    height, width = class_ids.shape
    regions, statistics = _regions(class_ids == 0, 8)
    left, top, wide, high = (statistics[:, column] for column in range(4))
    inside = (left > 0) & (top > 0) & (left + wide < width) & (top + high < height)
    holes = inside & (statistics[:, cv2.CC_STAT_AREA] <= largest)
    holes[0] = False
    filled = class_ids.copy()
    values = np.unique(class_ids[class_ids > 0])
    if len(values) == 1:
        filled[holes[regions]] = values[0]
        return filled
    for hole in np.flatnonzero(holes).tolist():
        window = (
            slice(top[hole] - 1, top[hole] + high[hole] + 1),
            slice(left[hole] - 1, left[hole] + wide[hole] + 1),
        )
        pixels = (regions[window] == hole).astype(np.uint8)
        around = np.asarray(cv2.dilate(pixels, np.ones((3, 3), np.uint8))) > pixels
        touched = np.unique(class_ids[window][around])
        if len(touched) == 1:
            filled[window][pixels > 0] = touched[0]
    return filled
