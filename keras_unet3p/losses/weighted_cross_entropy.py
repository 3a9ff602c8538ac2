"""Weighted cross-entropy."""

from __future__ import annotations

from keras_unet3p import compat
from keras_unet3p.losses._batch import Batch
from keras_unet3p.losses._pixel_loss import PixelLoss, log_probabilities


@compat.register
class WeightedCrossEntropy(PixelLoss):
    """Cross-entropy with a weight for each pixel: U-Net, equation 1.

    Of an image, E = 1/N sum over its N pixels x of w(x) (-log p_l(x)(x)), with the weight map w
    given as `sample_weight` (B, H, W) and 1 without one. One channel is a binary cross-entropy;
    with `multi_label` it is the mean of the channels' binary cross-entropies. Logits are used as
    such; probabilities are clipped to [1e-7, 1 - 1e-7].

    Args:
        normalization: "pixels" divides the weighted sum over an image by the number of its pixels
            (without ignored ones), "weights" by the sum of `sample_weight` over them, "sum" leaves
            the paper's sum. None is "pixels", but for the reductions "sum" and
            "mean_with_sample_weight", which then are Keras's: of all pixels the weighted sum, and
            that divided by the weights.
        class_weights: A factor for the pixels of each class; for one channel, two factors
            (background, foreground). With `multi_label`, the channels' weights in their mean.
        from_logits, multi_label, ignore_class, reduction, name, dtype: See `SegmentationLoss`.

    Example:
        >>> mask = np.array([[[1, 0]]])
        >>> prediction = np.array([[[0.9, 0.6]]])[..., np.newaxis]
        >>> loss = ku.losses.WeightedCrossEntropy()
        >>> round(float(loss(mask, prediction)), 3)
        0.511
        >>> round(float(loss(mask, prediction, np.array([[[1.0, 10.0]]]))), 3)
        4.634
    """

    default_name = "weighted_cross_entropy"

    def positive_and_negative_terms(self, batch: Batch):
        log_p, log_not_p = log_probabilities(batch)
        return -log_p, None if log_not_p is None else -log_not_p
