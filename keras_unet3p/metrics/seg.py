"""SEG, the Cell Tracking Challenge's measure of segmentation."""

from __future__ import annotations

import numpy as np

from keras_unet3p.metrics._labels import overlaps


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
    """
    table = overlaps(truth, prediction)
    if not len(table.truth_sizes):
        return float(not len(table.prediction_sizes))
    matched = 2 * table.shared > table.truth_sizes[table.pairs[:, 0]]
    return float(np.sum(table.jaccard[matched]) / len(table.truth_sizes))
