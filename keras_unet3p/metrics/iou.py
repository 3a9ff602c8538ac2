"""Streaming intersection over union."""

from __future__ import annotations

import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.metrics._overlap_metric import OverlapMetric


@compat.register
class IoU(OverlapMetric):
    """Intersection over union (Jaccard index), |A and B| / |A or B|, of a whole dataset.

    Counts pixels over all images since the last reset, so the result does not depend on the batch
    size, and takes the score from the counts. Predictions are thresholded (one channel, or
    `multi_label`: foreground where p >= threshold) or the class of the highest score is taken
    (several channels). A class that is neither in the truth nor in the prediction scores 1.

    Takes what the losses take: masks (B, H, W), (B, H, W, 1) of class ids or (B, H, W, K),
    predictions (B, H, W, K), `sample_weight` None, scalar, (B,), (B, H, W) or (B, H, W, 1), which
    counts a pixel with its weight (0 leaves it out), or as one with `use_pixel_weights=False`.

    What the losses refuse is refused here as well: class ids out of range, weights that are
    negative or not finite (in a graph compiled by XLA, which has no assertions, the score is NaN).
    Of predictions that are NaN where a pixel counts, the score is NaN until the next reset.

    Args:
        num_classes: Channels of the prediction; None takes them from the first prediction.
        threshold: Probability from which on a pixel is foreground.
        include_background: Whether class 0 is counted too; for one channel, whether the background
            is a second class. Without effect for `multi_label`.
        average: "macro", the mean over the classes; "micro", the score of their summed counts;
            "none", a vector of the scores of the counted classes. Keras's callbacks want numbers:
            with a vector `TensorBoard` raises an error. Take "macro" there, and have a callback of
            your own read this metric's `per_class()`, in `on_test_end` for the scores of the
            validation.
        ignore_class: Value in the mask of pixels that are left out.
        from_logits: Whether predictions are logits.
        multi_label: Whether several channels are independent labels.
        use_pixel_weights: Whether a weight map counts a pixel with its weight; else the pixels
            whose weight is above 0 count as one each. A training whose weight map is there for the
            loss (a border weight map) and a validation without one then log the same quantity.
        name, dtype: As in `keras.metrics.Metric`. Counts are float64 whatever the dtype.

    Example:
        >>> metric = ku.metrics.IoU()
        >>> mask = np.array([[[1, 1], [0, 0]]])
        >>> prediction = np.array([[[0.9, 0.2], [0.1, 0.3]]])[..., np.newaxis]
        >>> metric.update_state(mask, prediction)
        >>> round(float(metric.result()), 3)
        0.5
    """

    def score(self, both, truth, prediction):
        total = truth + prediction - both
        return tf.where(tf.equal(total, 0.0), tf.ones_like(total), both / total)
