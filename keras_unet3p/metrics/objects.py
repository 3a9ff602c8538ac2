"""Objects found, missed and invented, and how well they are covered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from keras_unet3p.errors import InputError
from keras_unet3p.metrics._labels import Overlaps, overlaps


class ObjectScores(NamedTuple):
    """Counts of objects; ratios of nothing to nothing are 1.

    Example:
        >>> scores = ku.metrics.ObjectScores(matched=8, missed=2, extra=0)
        >>> scores.precision, scores.recall
        (1.0, 0.8)
    """

    matched: int
    missed: int
    extra: int

    @property
    def precision(self) -> float:
        """Share of the predicted objects that are matched."""
        return _ratio(self.matched, self.matched + self.extra)

    @property
    def recall(self) -> float:
        """Share of the true objects that are matched."""
        return _ratio(self.matched, self.matched + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.matched, 2 * self.matched + self.missed + self.extra)

    @property
    def average_precision(self) -> float:
        """matched / (matched + missed + extra), the precision of the 2018 Data Science Bowl."""
        return _ratio(self.matched, self.matched + self.missed + self.extra)


def object_scores(truth, prediction, threshold: float = 0.5) -> ObjectScores:
    """Objects found, missed and invented at a threshold of the intersection over union.

    An object of the truth and one of the prediction match where their IoU is at least `threshold`,
    each at most once, so that as many as possible are matched (up to 1/2 by the Hungarian method;
    above, no object can have two partners).

    Args:
        truth, prediction: (H, W) instance ids, 0 is background.
        threshold: In (0, 1].

    Raises:
        ValueError: For shapes that differ, values that are not labels, a threshold out of range.

    Example:
        >>> truth = np.array([[1, 1, 0, 2, 2]])
        >>> ku.metrics.object_scores(truth, np.array([[7, 7, 0, 0, 9]]), threshold=0.75)
        ObjectScores(matched=1, missed=1, extra=1)
    """
    if not 0.0 < threshold <= 1.0:
        raise InputError(f"threshold must be above 0 and at most 1; received {threshold}.")
    table = overlaps(truth, prediction)
    matched = matched_objects(table, threshold)
    return ObjectScores(
        matched, len(table.truth_sizes) - matched, len(table.prediction_sizes) - matched
    )


def matched_objects(table: Overlaps, threshold: float) -> int:
    """How many pairs of objects match, as many as possible; see `object_scores`."""
    pairs = table.pairs[table.jaccard >= threshold]
    matched = len(pairs)
    if threshold <= 0.5 and matched:
        rows, row_ids = np.unique(pairs[:, 0], return_inverse=True)
        columns, column_ids = np.unique(pairs[:, 1], return_inverse=True)
        allowed = np.zeros((len(rows), len(columns)))
        allowed[row_ids.ravel(), column_ids.ravel()] = 1
        matched = int(allowed[linear_sum_assignment(allowed, maximize=True)].sum())
    return matched


def panoptic_quality(truth, prediction) -> float:
    """Panoptic quality (Kirillov et al. 2019), in [0, 1].

    Sum of the IoU of the matched objects / (matched + missed / 2 + extra / 2). Objects match where
    their IoU is above 1/2, so that none has two partners. Of nothing to nothing it is 1. Over
    several images see `summarize_evaluations`.

    Args:
        truth, prediction: (H, W) instance ids, 0 is background.

    Raises:
        ValueError: For shapes that differ or values that are not labels.

    Example:
        >>> round(panoptic_quality(np.array([[1, 1, 1, 0, 2]]), np.array([[7, 7, 0, 0, 0]])), 3)
        0.444
    """
    table = overlaps(truth, prediction)
    return quality_of(matched_jaccard(table), len(table.truth_sizes) + len(table.prediction_sizes))


def matched_jaccard(table: Overlaps) -> float:
    """Sum of the Jaccard indices above 1/2."""
    return float(np.sum(table.jaccard[table.jaccard > 0.5]))


def quality_of(jaccard: float, objects: float) -> float:
    """Panoptic quality from the sum of `matched_jaccard` and all objects, true and predicted."""
    return 2.0 * jaccard / objects if objects else 1.0


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def seg(truth, prediction) -> float:
    """Mean Jaccard index of the reference objects, in [0, 1] (Maška et al. 2014).

    A reference object is matched by the predicted object that covers more than half of it, and
    counts 0 if there is none. Predicted objects without a reference cost nothing. Over several
    images the challenge takes the mean over all their objects: see `summarize_evaluations`. Without
    reference objects the measure is undefined: 1 if nothing is predicted, else 0.

    Args:
        truth, prediction: (H, W) instance ids, 0 is background.

    Raises:
        ValueError: For shapes that differ or values that are not labels.

    Example:
        >>> ku.metrics.seg(np.array([[1, 1, 0, 2, 2]]), np.array([[7, 7, 0, 0, 0]]))
        0.5
    """
    table = overlaps(truth, prediction)
    if not len(table.truth_sizes):
        return float(not len(table.prediction_sizes))
    return seg_sum(table) / len(table.truth_sizes)


def seg_sum(table: Overlaps) -> float:
    """Sum of the Jaccard indices that `seg` takes the mean of."""
    matched = 2 * table.shared > table.truth_sizes[table.pairs[:, 0]]
    return float(np.sum(table.jaccard[matched]))
