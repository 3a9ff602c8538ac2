"""(x - mean) / std, per channel, inside the network; before it each image may be stretched."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError
from keras_unet3p.layers.stretching import intensity_range, stretch


@register
class IntensityNormalization(keras.layers.Layer):
    """Normalises intensities by constants: `(x - mean) / std`, computed in float32.

    Being part of the network, the constants are saved with it, and nobody scales an image twice.

    With `percentiles` each image is stretched before: these percentiles of its own values become 0
    and 1, for each channel. It is the whole image that counts, not a part of it. So whoever cuts
    images up, a pipeline of patches or a tiler, stretches them before (`images.intensity_range`,
    `layers.stretching`) and tells the layer by `images_are_stretched`.

    Args:
        mean: a number, or one for each channel.
        std: a positive number, or one for each channel.
        value_scale: the rule by which stored values became the intensities in training (see
            `images.Normalization`), kept for those who read files; None where it is unknown.
        stored_values: what the stored values of the training images were like, as
            `images.StoredValues.to_dict` gives them; kept likewise.
        percentiles: (low, high), 0 to 100, of each image; None leaves images as they are.

    Attributes:
        images_are_stretched: whether the inputs are stretched already. It is not saved.

    Input: (B, H, W, C) of any numeric type. Output: the same shape in the layer's compute type.

    Example:
        >>> normalize = ku.layers.IntensityNormalization(mean=0.5, std=0.25)
        >>> normalize(np.full((1, 1, 1, 1), 0.75)).numpy().ravel().tolist()
        [1.0]
    """

    def __init__(
        self,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        value_scale: str | None = None,
        stored_values: Sequence[dict[str, Any]] = (),
        percentiles: Sequence[float] | None = None,
        **kwargs,
    ):
        kwargs.setdefault("autocast", False)  # images may be finer than half precision
        super().__init__(**kwargs)
        self.mean = _numbers(mean)
        self.std = _numbers(std)
        self.value_scale = value_scale
        self._stored_values = json.dumps(list(stored_values))  # a text: Keras wraps lists and dicts
        self.percentiles = checked_percentiles(percentiles)
        self.images_are_stretched = False
        if not all(value > 0 for value in self.std):
            raise InputError(
                f"IntensityNormalization: std must be positive, found {list(self.std)}"
            )

    @property
    def stored_values(self) -> list[dict[str, Any]]:
        return json.loads(self._stored_values)

    def build(self, input_shape):
        channels = input_shape[-1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise InputError(
                    f"IntensityNormalization: {name} has {len(values)} values, the image has "
                    f"{channels} channels; expected one value or one for each channel"
                )
        super().build(input_shape)

    def call(self, inputs):
        x = tf.cast(inputs, tf.float32)
        if self.percentiles is not None and not self.images_are_stretched:
            x = self._stretched(x)
        x = (x - tf.constant(self.mean, tf.float32)) / tf.constant(self.std, tf.float32)
        return tf.cast(x, self.compute_dtype)

    def _stretched(self, images: tf.Tensor) -> tf.Tensor:
        percentiles = self.percentiles
        assert percentiles is not None
        is_raw = self.value_scale == "raw"

        def one(image: tf.Tensor) -> tf.Tensor:
            return stretch(image, *intensity_range(image, percentiles, is_raw=is_raw))

        stretched = tf.map_fn(one, images)
        stretched.set_shape(images.shape)
        # Percentiles are constants of an image, as mean and std are of a set: no gradient.
        return stretched

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.pop("autocast", None)
        config |= {
            "mean": list(self.mean),
            "std": list(self.std),
            "value_scale": self.value_scale,
            "stored_values": self.stored_values,
        }
        if self.percentiles is not None:
            config["percentiles"] = list(self.percentiles)
        return config


def normalizations(model: Any) -> list[IntensityNormalization]:
    """The layers of a model that normalise its images; none for what is no Keras model."""
    return [
        layer for layer in getattr(model, "layers", ()) if isinstance(layer, IntensityNormalization)
    ]


def image_percentiles(model: Any) -> tuple[float, float] | None:
    """By which percentiles a model has each image stretched; None if it does not."""
    found = _stretching(model)
    return found[0].percentiles if found else None


def takes_raw_values(model: Any) -> bool:
    """Whether a model was trained on values as they were stored, of any scale."""
    return any(layer.value_scale == "raw" for layer in normalizations(model))


def expect_stretched(model: Any) -> None:
    """From here on, a model takes images that are stretched already. It is not saved with it."""
    for layer in _stretching(model):
        layer.images_are_stretched = True


@contextlib.contextmanager
def images_are_stretched(model: Any) -> Iterator[None]:
    """Within it, what is traced of a model takes images that are stretched already."""
    layers = _stretching(model)
    before = [layer.images_are_stretched for layer in layers]
    for layer in layers:
        layer.images_are_stretched = True
    try:
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.images_are_stretched = value


def _stretching(model: Any) -> list[IntensityNormalization]:
    return [layer for layer in normalizations(model) if layer.percentiles is not None]


def checked_percentiles(percentiles: Sequence[float] | None) -> tuple[float, float] | None:
    """(low, high) as numbers of Python's own.

    Raises:
        ValueError: they are not two numbers from 0 to 100, the second above the first.
    """
    if percentiles is None:
        return None
    found = _numbers(percentiles)
    if len(found) != 2 or not 0 <= found[0] < found[1] <= 100:
        raise InputError(
            "percentiles must be two numbers from 0 to 100, the second above the first, found "
            f"{percentiles!r}"
        )
    return found[0], found[1]


def _numbers(values) -> tuple[float, ...]:
    return tuple(np.asarray(values, np.float64).reshape(-1).tolist())
