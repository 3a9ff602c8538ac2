"""Streaming counts of a segmentation, from which Dice and IoU are taken."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

AVERAGES = ("macro", "micro", "none")


class OverlapMetric(keras.metrics.Metric):
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
        name: str | None = None,
        dtype=None,
    ):
        if average is None:
            average = "none"
        if average not in AVERAGES:
            raise ValueError(f"average must be one of {AVERAGES}; received {average!r}.")
        if not 0.0 < threshold < 1.0:
            raise ValueError(f"threshold must be between 0 and 1; received {threshold}.")
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"num_classes must be at least 1; received {num_classes}.")
        super().__init__(name=name or type(self).__name__.lower(), dtype=dtype)
        self.num_classes = num_classes
        self.threshold = float(threshold)
        self.include_background = bool(include_background)
        self.average = average
        self.ignore_class = ignore_class
        self.from_logits = bool(from_logits)
        self.multi_label = bool(multi_label)
        self._counts: Any = None
        if num_classes is not None:
            self._make_counts(num_classes)

    def score(self, both, truth, prediction):
        """Score from counts of equal shape; 1 where a class is in neither."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight=None):
        y_pred = tf.convert_to_tensor(y_pred)
        y_true = tf.convert_to_tensor(y_true)
        if y_true.shape.rank is None and y_pred.shape.rank == 4 and y_pred.shape[-1] == 1:
            y_true = tf.reshape(y_true, tf.shape(y_pred))
        if y_true.shape.rank == 3:
            y_true = tf.expand_dims(y_true, -1)
        self._check_shapes(y_true, y_pred)
        if self._counts is None:
            self._make_counts(y_pred.shape[-1])
        assert self._counts is not None
        truth, prediction, weights = self._class_maps(y_true, y_pred, sample_weight)
        counts = []
        for maps in (truth * prediction, truth, prediction):
            if weights is not None:
                maps *= weights
            # A row sums exactly in float32; rows and images are added in float64, which counts
            # 2^53 pixels before it loses one.
            rows = tf.cast(tf.reduce_sum(maps, axis=2), tf.float64)
            counts.append(tf.reduce_sum(rows, axis=(0, 1)))
        self._counts.assign_add(tf.stack(counts))

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
        }

    def _make_counts(self, channels: int):
        # One channel is two classes, background and foreground.
        classes = max(channels, 2) if not self.multi_label else channels
        self._counts = self.add_weight(
            name="counts", shape=(3, classes), initializer="zeros", dtype="float64"
        )

    def _counted(self):
        counts = tf.convert_to_tensor(self._counts)
        return counts if self.include_background or self.multi_label else counts[:, 1:]

    def _class_maps(self, y_true, y_pred, sample_weight):
        """Truth and prediction as 0/1 maps (B, H, W, classes), weights (B, H, W, 1) or None."""
        scores, channels = tf.cast(y_pred, tf.float32), y_pred.shape[-1]
        classes = self._counts.shape[1]
        values = tf.cast(y_true, tf.float32)
        weights = None
        if self.ignore_class is not None:
            ignored = tf.equal(values, float(self.ignore_class))
            ignored = tf.reduce_any(ignored, axis=-1, keepdims=True)
            weights = tf.cast(tf.logical_not(ignored), tf.float32)
            values = tf.where(ignored, 0.0, values)
        if self.multi_label or channels == 1:
            if self.from_logits:
                scores = tf.math.sigmoid(scores)
            if channels > 1 and values.shape[-1] == 1:
                values = tf.one_hot(tf.cast(tf.squeeze(values, -1), tf.int32), channels)
            predicted, true = scores > self.threshold, values > 0.5
            if not self.multi_label:
                predicted = tf.concat([tf.logical_not(predicted), predicted], axis=-1)
                true = tf.concat([tf.logical_not(true), true], axis=-1)
            truth, prediction = tf.cast(true, tf.float32), tf.cast(predicted, tf.float32)
        else:
            ids = tf.squeeze(values, -1) if y_true.shape[-1] == 1 else tf.argmax(values, axis=-1)
            truth = tf.one_hot(tf.cast(ids, tf.int32), classes)
            prediction = tf.one_hot(tf.argmax(scores, axis=-1), classes)
        return truth, prediction, _product(weights, _pixel_weights(sample_weight, y_pred))

    def _check_shapes(self, y_true, y_pred):
        shapes = f"mask {tuple(y_true.shape)}, prediction {tuple(y_pred.shape)}"
        if y_pred.shape.rank != 4 or y_pred.shape[-1] is None:
            raise ValueError(
                "y_pred must be (batch, height, width, classes) with a known number of classes; "
                f"received {shapes}."
            )
        if y_true.shape.rank != 4 or y_true.shape[-1] not in (1, y_pred.shape[-1]):
            raise ValueError(
                "y_true must be (batch, height, width), (batch, height, width, 1) or "
                f"(batch, height, width, classes); received {shapes}."
            )
        for ours, theirs in zip(y_true.shape[:3], y_pred.shape[:3], strict=True):
            if ours is not None and theirs is not None and ours != theirs:
                raise ValueError(f"y_true and y_pred differ in size; received {shapes}.")
        accepted = {self.num_classes}
        if self.num_classes == 2 and not self.multi_label:
            accepted.add(1)
        if self.num_classes is not None and y_pred.shape[-1] not in accepted:
            raise ValueError(
                f"y_pred must have num_classes={self.num_classes} channels; received {shapes}."
            )


def _pixel_weights(sample_weight, y_pred):
    """`sample_weight` as (B, H, W, 1), or broadcastable to it."""
    if sample_weight is None:
        return None
    weights = tf.cast(tf.convert_to_tensor(sample_weight), tf.float32)
    rank = weights.shape.rank
    if rank == 0:
        return weights
    if rank == 2 and weights.shape[1] == 1:
        weights, rank = weights[:, 0], 1
    if rank == 1:
        return weights[:, tf.newaxis, tf.newaxis, tf.newaxis]
    if rank == 3:
        return tf.expand_dims(weights, -1)
    if rank == 4 and weights.shape[3] == 1:
        return weights
    raise ValueError(
        "sample_weight must be a scalar, (batch,), (batch, height, width) or "
        f"(batch, height, width, 1); received {tuple(weights.shape)} for a prediction "
        f"{tuple(y_pred.shape)}."
    )


def _product(a, b):
    if a is None or b is None:
        return b if a is None else a
    return a * b
