"""Centreline Dice loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.losses._batch import Batch
from keras_unet3p.losses._region_loss import RegionLoss
from keras_unet3p.losses.dice import Dice


@compat.register
class ClDice(RegionLoss):
    """(1 - alpha) (1 - Dice) + alpha (1 - clDice), Shit et al. 2021, equations 1, 2 and 3.

    clDice is the harmonic mean of the share of the prediction's skeleton that lies in the mask and
    of the share of the mask's skeleton that lies in the prediction. A gap in a thin structure
    costs much more than its few pixels, which makes the loss one for membranes, vessels and
    borders. Skeletons are soft, made of minimum and maximum filters (the paper's algorithm 1).
    For each image and class, then the mean; in [0, 1].

    Unlike in the paper, what is left after the last erosion with a probability p above 1/2 belongs
    to the skeleton, as 2 p - 1: without it foreground everywhere, which never erodes, would have no
    skeleton and score best. On structures no wider than `2 * iterations + 1` pixels the values are
    those of the authors' code, whatever the probability of the background below 1/2.

    Args:
        alpha: Share of the clDice term, in [0, 1]. At 1 only skeletons count, and a network learns
            thin structures of any width; the paper uses up to 1/2.
        iterations: Erosions of the skeleton; the radius in pixels up to which structures are
            thinned.
        smooth: Added to numerators and denominators of the two shares, in pixels of skeleton.
        include_background, class_weights: See `IoU`.
        from_logits, multi_label, ignore_class, reduction, name, dtype: See `SegmentationLoss`.

    Example:
        >>> mask = np.zeros((1, 16, 16))
        >>> mask[0, 8] = 1  # a line
        >>> broken = mask.copy()
        >>> broken[0, 8, 7:9] = 0
        >>> loss = ku.losses.ClDice()
        >>> round(float(loss(mask, broken[..., np.newaxis])), 3)
        0.065
    """

    default_name = "cl_dice"

    def __init__(
        self,
        alpha: float = 0.5,
        iterations: int = 3,
        *,
        smooth: float = 1.0,
        include_background: bool = True,
        from_logits: bool = False,
        multi_label: bool = False,
        ignore_class: int | None = None,
        class_weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        if not 0.0 <= alpha <= 1.0:
            raise InputError(f"alpha must be in [0, 1]; received {alpha}.")
        if iterations < 1:
            raise InputError(f"iterations must be at least 1; received {iterations}.")
        if not smooth > 0.0:
            raise InputError(f"smooth must be above 0; received {smooth}.")
        super().__init__(
            include_background=include_background,
            from_logits=from_logits,
            multi_label=multi_label,
            ignore_class=ignore_class,
            class_weights=class_weights,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        self.alpha = float(alpha)
        self.iterations = int(iterations)
        self.smooth = float(smooth)
        self._dice = Dice()

    def class_values(self, batch: Batch):
        truth, probabilities = batch.truth, batch.probabilities
        if batch.valid is not None:
            probabilities *= batch.valid
        precision = self._share_inside(soft_skeleton(probabilities, self.iterations), truth)
        sensitivity = self._share_inside(soft_skeleton(truth, self.iterations), probabilities)
        cl_dice = 2.0 * precision * sensitivity / (precision + sensitivity)
        return (1.0 - self.alpha) * self._dice.class_values(batch) + self.alpha * (1.0 - cl_dice)

    def _share_inside(self, skeleton, region):
        inside = tf.reduce_sum(skeleton * region, axis=(1, 2))
        outside = tf.reduce_sum(skeleton * (1.0 - region), axis=(1, 2))
        return (inside + self.smooth) / (inside + outside + self.smooth)

    def get_config(self):
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "iterations": self.iterations,
            "smooth": self.smooth,
        }


def soft_skeleton(images, iterations: int):
    """What openings remove along erosions, and what is surely left after them; (B, H, W, K)."""
    skeleton = tf.zeros_like(images)
    for _ in range(iterations + 1):
        eroded = _eroded(images)
        removed = tf.nn.relu(images - _dilated(eroded))
        skeleton += removed * (1.0 - skeleton)
        images = eroded
    left = tf.nn.relu(2.0 * images - 1.0)
    return skeleton + left * (1.0 - skeleton)


def _eroded(images):
    """Minimum over each pixel and its four neighbours."""
    (above, below), (left, right) = _neighbours(images, 1), _neighbours(images, 2)
    beside = tf.minimum(tf.minimum(above, below), tf.minimum(left, right))
    return tf.minimum(images, beside)


def _dilated(images):
    """Maximum over each pixel and its eight neighbours."""
    for axis in (1, 2):
        before, after = _neighbours(images, axis)
        images = tf.maximum(images, tf.maximum(before, after))
    return images


def _neighbours(images, axis: int):
    """The images moved by one pixel either way; at the edge a pixel is its own neighbour.

    On CPUs that is several times faster than pooling, whose kernels want many channels.
    """
    if axis == 1:
        first, last, inner, rest = images[:, :1], images[:, -1:], images[:, :-1], images[:, 1:]
    else:
        first, last = images[:, :, :1], images[:, :, -1:]
        inner, rest = images[:, :, :-1], images[:, :, 1:]
    return tf.concat([first, inner], axis), tf.concat([rest, last], axis)
