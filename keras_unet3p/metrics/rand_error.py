"""Adapted Rand error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from skimage.metrics import adapted_rand_error

from keras_unet3p.metrics._labels import checked_labels


class RandError(NamedTuple):
    """1 - F-score of pairs of pixels, and the precision and recall that it is made of."""

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
    """
    truth, prediction = checked_labels(truth, prediction)
    sizes = np.bincount(np.unique(truth[truth > 0], return_inverse=True)[1].ravel())
    foreground = truth > 0
    predicted = np.bincount(np.unique(prediction[foreground], return_inverse=True)[1].ravel())
    true_pairs = int((sizes * (sizes - 1)).sum())
    predicted_pairs = int((predicted * (predicted - 1)).sum())
    if not true_pairs:
        # Without foreground no pixel counts, and the prediction's own objects decide.
        wrong = predicted_pairs or (not foreground.any() and prediction.any())
        return RandError(1.0, 0.0, 1.0) if wrong else RandError(0.0, 1.0, 1.0)
    if not predicted_pairs:
        return RandError(1.0, 1.0, 0.0)
    # Consecutive labels keep scikit-image's table small.
    _, compact_truth = np.unique(truth, return_inverse=True)
    compact_truth = compact_truth.reshape(truth.shape) + int(foreground.all())
    _, compact = np.unique(prediction, return_inverse=True)
    error = float(adapted_rand_error(compact_truth, compact.reshape(truth.shape))[0])
    # Its precision is our recall; taken from the counts, neither depends on that.
    shared_pairs = (1.0 - error) * (true_pairs + predicted_pairs) / 2
    return RandError(error, shared_pairs / predicted_pairs, shared_pairs / true_pairs)
