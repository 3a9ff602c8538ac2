"""What a network says of each image, kept so that many rules can follow it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from keras_unet3p.postprocessing import MaskRule, is_foreground
from keras_unet3p.postprocessing.rule_search import THRESHOLDS
from keras_unet3p.workflow.kept_arrays import KeptArrays

if TYPE_CHECKING:
    from typing_extensions import Self


class KeptPredictions:
    """Predictions of a few images in one byte per pixel, in a file beyond 64 MiB.

    Of the probabilities of one class the number of thresholds that they reach is kept, which is
    exact for the thresholds of the search; of several classes the class ids are kept. The file has
    no name: a killed process leaves nothing behind.

    Args:
        predictions: for each image the probability (H, W), floats, or class ids (H, W), uint8.
        folder: where the file lies.
        thresholds: those that a rule may have; at most 255, rising.
        most_in_memory: bytes from which on they are in a file.

    Example:
        >>> probability = np.array([[0.2, 0.45, 0.9]], np.float32)
        >>> with KeptPredictions([probability]) as kept:
        ...     [kept.class_ids(0, MaskRule(t)).tolist() for t in (0.2, 0.45, 0.5)]
        [[[1, 1, 1]], [[0, 1, 1]], [[0, 0, 1]]]
    """

    def __init__(
        self,
        predictions: Iterable[np.ndarray],
        folder: str | os.PathLike[str] | None = None,
        *,
        thresholds: tuple[float, ...] = THRESHOLDS,
        most_in_memory: int = 2**26,
    ) -> None:
        self._thresholds = thresholds
        self._has_threshold: list[bool] = []
        self._kept = KeptArrays(
            map(self._in_bytes, predictions), folder, most_in_memory=most_in_memory
        )

    def __len__(self) -> int:
        return len(self._kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._kept.__exit__(*error)

    def class_ids(self, index: int, rule: MaskRule) -> np.ndarray:
        """Class ids (H, W), uint8, of an image under a rule."""
        kept = self._kept[index]
        if self._has_threshold[index]:
            kept = (kept > self._thresholds.index(rule.threshold)).astype(np.uint8)
        return rule.cleaned(kept)

    def _in_bytes(self, prediction: np.ndarray) -> np.ndarray:
        self._has_threshold.append(prediction.dtype.kind == "f")
        levels = self._levels(prediction) if self._has_threshold[-1] else prediction
        return np.asarray(levels, np.uint8)

    def _levels(self, probability: np.ndarray) -> np.ndarray:
        levels = np.zeros(probability.shape, np.uint8)
        for threshold in self._thresholds:
            levels += is_foreground(probability, threshold)
        return levels
