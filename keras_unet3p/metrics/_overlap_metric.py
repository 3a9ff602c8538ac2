"""Streaming counts of a segmentation, from which Dice and IoU are taken."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.postprocessing.class_ids import is_foreground
from keras_unet3p.targets.masks import mask_with_channels, per_class_maps
from keras_unet3p.targets.prediction_reader import PredictionReader
from keras_unet3p.targets.sample_weights import split_sample_weight

AVERAGES = ("macro", "micro", "none")


class OverlapMetric(keras.metrics.Metric, PredictionReader):
    """Per-class counts over everything seen: pixels in both, in the truth, in the prediction."""

    def __init__(
        self,
        num_classes: int | None = None,
        *,
        threshold: float = 0.5,
        include_background: bool = False,
        average: str = "macro",
        ignore_class: int | None = None,
        from_logits: bool = False,
        multi_label: bool = False,
        use_pixel_weights: bool = True,
        name: str | None = None,
        dtype=None,
    ):
        if average is None:
            average = "none"
        if average not in AVERAGES:
            raise InputError(f"average must be one of {AVERAGES}; received {average!r}.")
        if not 0.0 < threshold < 1.0:
            raise InputError(f"threshold must be between 0 and 1; received {threshold}.")
        if num_classes is not None and num_classes < 1:
            raise InputError(f"num_classes must be at least 1; received {num_classes}.")
        super().__init__(name=name or type(self).__name__.lower(), dtype=dtype)
        self.num_classes = num_classes
        self.threshold = float(threshold)
        self.include_background = bool(include_background)
        self.average = average
        self.ignore_class = ignore_class
        self.from_logits = bool(from_logits)
        self.multi_label = bool(multi_label)
        self.use_pixel_weights = bool(use_pixel_weights)
        self._counts: Any = None
        if num_classes is not None:
            self.make_counts(num_classes)

    def score(self, both, truth, prediction):
        """Score from counts of equal shape; 1 where a class is in neither, NaN of NaN."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight=None):
        y_pred = tf.convert_to_tensor(y_pred)
        y_true = mask_with_channels(tf.convert_to_tensor(y_true), y_pred)
        self._check_channels(y_pred)
        self.make_counts(y_pred.shape[-1])
        assert self._counts is not None
        truth, prediction, weights, poison = self._class_maps(y_true, y_pred, sample_weight)
        counts = []
        for maps in (truth * prediction, truth, prediction):
            if weights is not None:
                maps *= weights
            # A row sums exactly in float32; rows and images are added in float64, which counts
            # 2^53 pixels before it loses one.
            rows = tf.cast(tf.reduce_sum(maps, axis=2), tf.float64)
            counts.append(tf.reduce_sum(rows, axis=(0, 1)))
        self._counts.assign_add(tf.stack(counts) + tf.cast(poison, tf.float64))

    def per_class(self):
        """Score of each counted class, background first where it is included; float32."""
        if self._counts is None:
            return tf.zeros([0])
        return tf.cast(self.score(*tf.unstack(self._counted())), tf.float32)

    def result(self):
        if self._counts is None:
            return tf.zeros([])
        if self.average == "none":
            return self.per_class()
        if self.average == "macro":
            return tf.reduce_mean(self.per_class())
        return tf.cast(self.score(*tf.unstack(tf.reduce_sum(self._counted(), axis=1))), tf.float32)

    def reset_state(self):
        if self._counts is not None:
            self._counts.assign(tf.zeros(self._counts.shape, tf.float64))

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "threshold": self.threshold,
            "include_background": self.include_background,
            "average": self.average,
            "ignore_class": self.ignore_class,
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
            "use_pixel_weights": self.use_pixel_weights,
        }

    def make_counts(self, channels: int):
        """Make the variable of the counts for predictions of so many channels, if there is none."""
        if self._counts is not None:
            return
        # One channel is two classes, background and foreground.
        classes = max(channels, 2) if not self.multi_label else channels
        self._counts = self.add_weight(
            name="counts", shape=(3, classes), initializer="zeros", dtype="float64"
        )

    def _counted(self):
        counts = tf.convert_to_tensor(self._counts)
        return counts if self.include_background or self.multi_label else counts[:, 1:]

    def _class_maps(self, y_true, y_pred, sample_weight):
        """Truth and prediction as 0/1 maps (B, H, W, classes), weights (B, H, W, 1), poison."""
        scores, channels = tf.cast(y_pred, tf.float32), y_pred.shape[-1]
        truth, valid, mask_poison = per_class_maps(y_true, channels, self.ignore_class)
        weights, weight_poison = self._weights(sample_weight, y_pred)
        weights = _product(weights, valid)
        if self.multi_label or channels == 1:
            if self.from_logits:
                scores = tf.math.sigmoid(scores)
            predicted, true = is_foreground(scores, self.threshold), is_foreground(truth)
            if not self.multi_label:
                predicted = tf.concat([tf.logical_not(predicted), predicted], axis=-1)
                true = tf.concat([tf.logical_not(true), true], axis=-1)
            truth, prediction = tf.cast(true, tf.float32), tf.cast(predicted, tf.float32)
        else:
            truth = tf.one_hot(tf.argmax(truth, axis=-1), channels)
            prediction = tf.one_hot(tf.argmax(scores, axis=-1), channels)
        broken = tf.math.is_nan(scores)
        if weights is not None:
            broken &= weights > 0.0
        broken = tf.where(tf.reduce_any(broken), float("nan"), 0.0)
        return truth, prediction, weights, mask_poison + weight_poison + broken

    def _weights(self, sample_weight, y_pred):
        """Weights (B, H, W, 1), or broadcastable to it, or None; and poison."""
        weights, images, poison = split_sample_weight(sample_weight, y_pred)
        if images is not None:
            weights = images if images.shape.rank == 0 else tf.reshape(images, [-1, 1, 1, 1])
        elif weights is not None and not self.use_pixel_weights:
            weights = tf.cast(weights > 0.0, tf.float32)
        return weights, poison

    def _check_channels(self, y_pred):
        accepted = {self.num_classes}
        if self.num_classes == 2 and not self.multi_label:
            accepted.add(1)
        if self.num_classes is not None and y_pred.shape[-1] not in accepted:
            raise InputError(
                f"y_pred must have num_classes={self.num_classes} channels; "
                f"received {tuple(y_pred.shape)}."
            )


def _product(a, b):
    if a is None or b is None:
        return b if a is None else a
    return a * b
