"""Variation of information."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from skimage import metrics

from keras_unet3p.metrics._labels import checked_labels


class VariationOfInformation(NamedTuple):
    """Bits by which a segmentation splits objects, and by which it merges them."""

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
