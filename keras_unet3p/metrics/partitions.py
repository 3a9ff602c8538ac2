"""How two ways to part an image into objects differ: Rand error, variation of information."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from skimage import metrics

from keras_unet3p.metrics._labels import checked_labels, numbered


class RandError(NamedTuple):
    """1 - F-score of pairs of pixels, and the precision and recall that it is made of.

    Example:
        >>> ku.metrics.RandError(error=0.0, precision=1.0, recall=1.0).error
        0.0
    """

    error: float
    precision: float
    recall: float


def rand_error(truth, prediction) -> RandError:
    """Adapted Rand error over the foreground of the truth: the ISBI-2012 challenge's Rand error.

    1 - the F-score of the pairs of foreground pixels that the two segmentations put into one object
    (Arganda-Carreras et al. 2015), as `skimage.metrics.adapted_rand_error`. A low precision means
    merged objects, a low recall split ones. Where the truth has no pairs (no object beyond single
    pixels), a prediction without any is perfect (0, 1, 1) and another one is wrong (1, 0, 1).

    Args:
        truth, prediction: (H, W) instance ids; pixels where the truth is 0 do not count.

    Raises:
        ValueError: For shapes that differ or values that are not labels.

    Example:
        >>> truth = np.array([[1, 1, 2, 2]])
        >>> ku.metrics.rand_error(truth, np.array([[5, 5, 3, 3]])).error
        0.0
        >>> merged = ku.metrics.rand_error(truth, np.array([[4, 4, 4, 4]]))
        >>> round(merged.precision, 3), round(merged.recall, 3)
        (0.333, 1.0)
    """
    truth, prediction = checked_labels(truth, prediction)
    foreground = truth > 0
    _, true_ids = numbered(truth[foreground])
    found, predicted_ids = numbered(prediction[foreground])
    true_pairs, predicted_pairs = _pairs(true_ids), _pairs(predicted_ids)
    if not true_pairs:
        # Without foreground no pixel counts, and the prediction's own objects decide.
        wrong = predicted_pairs or (not foreground.any() and prediction.any())
        return RandError(1.0, 0.0, 1.0) if wrong else RandError(0.0, 1.0, 1.0)
    if not predicted_pairs:
        return RandError(1.0, 1.0, 0.0)
    shared_pairs = _pairs(numbered(true_ids * len(found) + predicted_ids)[1])
    return RandError(
        1.0 - 2 * shared_pairs / (true_pairs + predicted_pairs),
        shared_pairs / predicted_pairs,
        shared_pairs / true_pairs,
    )


def _pairs(ids: np.ndarray) -> int:
    """Ordered pairs of pixels with the same id; ids (N,) from 0 on."""
    sizes = np.bincount(ids)
    return int((sizes * (sizes - 1)).sum())


class VariationOfInformation(NamedTuple):
    """Bits by which a segmentation splits objects, and by which it merges them.

    Example:
        >>> ku.metrics.VariationOfInformation(split=0.25, merge=0.5).total
        0.75
    """

    split: float
    merge: float

    @property
    def total(self) -> float:
        """The variation of information, a distance between segmentations."""
        return self.split + self.merge


def variation_of_information(
    truth, prediction, *, ignore_background: bool = True
) -> VariationOfInformation:
    """Conditional entropies of two segmentations (Meilă 2007), in bits, at least 0.

    `split` is H(prediction | truth), over-segmentation; `merge` is H(truth | prediction),
    under-segmentation: `skimage.metrics.variation_of_information`. Both are 0 if no pixel counts.

    Args:
        truth, prediction: (H, W) instance ids.
        ignore_background: Whether pixels where the truth is 0 are left out.

    Raises:
        ValueError: For shapes that differ or values that are not labels.

    Example:
        >>> ku.metrics.variation_of_information(np.array([[1, 1, 2, 2]]), np.array([[4, 4, 4, 4]]))
        VariationOfInformation(split=0.0, merge=1.0)
    """
    truth, prediction = checked_labels(truth, prediction)
    if ignore_background:
        counted = truth > 0
        truth, prediction = truth[counted], prediction[counted]
    if not truth.size:
        return VariationOfInformation(0.0, 0.0)
    # Consecutive labels keep scikit-image's table small.
    compact = [np.unique(labels, return_inverse=True)[1].ravel() for labels in (truth, prediction)]
    split, merge = metrics.variation_of_information(*compact)
    return VariationOfInformation(max(float(split), 0.0), max(float(merge), 0.0))
