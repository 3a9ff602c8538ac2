"""Soft Dice loss."""

from __future__ import annotations

from keras_unet3p import compat
from keras_unet3p.losses._region_loss import OverlapLoss


@compat.register_as("DiceLoss")
class Dice(OverlapLoss):
    """1 - 2 sum(p g) / sum(p + g), for each image and class, then the mean.

    In [0, 1]. An empty mask with an empty prediction is perfect (0). Where the mask of a class has
    one pixel or more the value is exact. For an empty mask the exact value jumps from 0 to 1 with
    the first trace of a prediction and gives no gradient after that; there it is U / (U + smooth),
    U half the sum of p.

    Args:
        smooth: See above, in pixels. Values around 1 or more let images without the class train the
            network to predict nothing there, at the price of a loss that is no longer exact on
            them.
        use_pixel_weights: Whether per-pixel `sample_weight` weights the sums; by default it does
            not reach this loss.
        include_background: Whether class 0 of a softmax takes part in the mean over classes.
        class_weights: Weights of the classes in that mean.
        from_logits, multi_label, ignore_class, reduction, name, dtype: See `SegmentationLoss`.

    Example:
        >>> mask = np.array([[[1, 1], [0, 0]]])
        >>> prediction = np.array([[[1.0, 0.0], [0.0, 0.0]]])[..., np.newaxis]
        >>> round(float(ku.losses.Dice()(mask, prediction)), 3)
        0.333
    """

    default_name = "dice"

    def false_positive_and_negative_weights(self) -> tuple[float, float]:
        return 0.5, 0.5
