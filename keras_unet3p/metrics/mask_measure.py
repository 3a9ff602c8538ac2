"""Measures of a set of masks whose counts add up image by image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from keras_unet3p.metrics._labels import overlaps
from keras_unet3p.metrics.objects import matched_objects, seg_sum
from keras_unet3p.metrics.partitions import rand_error

AP_THRESHOLDS = tuple(number / 20 for number in range(10, 19))
"""The thresholds of the intersection over union that AP is the mean over, 0.5 to 0.9."""


@dataclasses.dataclass(frozen=True)
class MaskMeasure:
    """One number for a set of masks, the larger the better; `MASK_MEASURES` has those there are.

    Attributes:
        counts: takes a truth (H, W), a prediction (H, W) and the number of classes with the
            background, and gives float64 (N,). Objects are told by their ids.
        score: the measure, at most 1, from the sum of the counts of all images.

    Example:
        >>> truth = np.array([[0, 1, 1, 0, 2, 2]])
        >>> measure = MASK_MEASURES["ap"]
        >>> counts = [measure.counts(truth, mask, 2) for mask in (truth, 0 * truth)]
        >>> measure.score(sum(counts))
        0.5
    """

    counts: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    score: Callable[[np.ndarray], float]


def _dice_counts(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """For each class from 1 on: pixels of both, and of one and the other; (2 (K - 1),)."""
    if num_classes == 2:  # foreground against background, whatever the ids
        truth, prediction = truth > 0, prediction > 0
    counts = []
    for value in range(1, num_classes):
        true, predicted = truth == value, prediction == value
        counts += [
            np.count_nonzero(true & predicted),
            np.count_nonzero(true) + np.count_nonzero(predicted),
        ]
    return np.array(counts, np.float64)


def _dice(counts: np.ndarray) -> float:
    both, either = counts.reshape(-1, 2).T
    scores = np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0)
    return float(scores.mean())


def _seg_counts(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    table = overlaps(truth, prediction)
    return np.array([seg_sum(table), len(table.truth_sizes)])


def _seg(counts: np.ndarray) -> float:
    return float(counts[0] / counts[1]) if counts[1] else 1.0


def _ap_counts(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    table = overlaps(truth, prediction)
    matched = [matched_objects(table, threshold) for threshold in AP_THRESHOLDS]
    return np.array([len(table.truth_sizes) + len(table.prediction_sizes), *matched], np.float64)


def _ap(counts: np.ndarray) -> float:
    every, matched = counts[0], counts[1:]
    return float((matched / (every - matched)).mean()) if every else 1.0


def _rand_counts(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    return np.array([1.0 - rand_error(truth, prediction).error, 1.0])


def _rand(counts: np.ndarray) -> float:
    return float(counts[0] / counts[1])


MASK_MEASURES: Mapping[str, MaskMeasure] = MappingProxyType(
    {
        "dice": MaskMeasure(_dice_counts, _dice),
        "seg": MaskMeasure(_seg_counts, _seg),
        "ap": MaskMeasure(_ap_counts, _ap),
        "rand": MaskMeasure(_rand_counts, _rand),
    }
)
"""Name -> measure. `dice`: of all pixels, the mean over the classes from 1. `seg`: the mean over
all reference objects. `ap`: matched / (matched + missed + extra) objects, the mean over thresholds
of the intersection over union from 0.5 to 0.9. `rand`: 1 - Rand error, the mean over the images."""
