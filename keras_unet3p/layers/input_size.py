"""The input layer's guard: refuses image sizes that the network cannot take."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError


@register
class InputSize(keras.layers.Layer):
    """Passes images through and refuses those whose height or width does not fit the network.

    A network with `d` poolings takes sizes `divisor * k + offset` only. Without this layer a wrong
    size fails deep inside the graph, in a concatenation.

    Args:
        divisor: distance between two sizes that fit, in pixels (2 ** number of poolings).
        offset: remainder of a fitting size divided by `divisor`, in pixels.
        minimum: the smallest size that fits, in pixels; `divisor + offset` if not given.
        margin: pixels that the network's output lacks on each side (0 for padded networks).
            Not used here: the layer carries it for those who tile or crop.

    Input and output: (B, H, W, C), unchanged, in the type that comes in: what follows may be a
    normalisation, which needs the image finer than half precision.

    Raises:
        ValueError: a size known when the layer is called does not fit. A size known only when the
            graph runs raises `tf.errors.InvalidArgumentError` with the same advice.

    Example:
        >>> guard = ku.layers.InputSize(16)
        >>> tuple(guard(np.zeros((1, 64, 48, 1))).shape)
        (1, 64, 48, 1)
    """

    def __init__(
        self, divisor: int, offset: int = 0, minimum: int | None = None, margin: int = 0, **kwargs
    ):
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        if divisor < 1 or not 0 <= offset < divisor:
            raise InputError(
                f"InputSize: expected divisor >= 1 and 0 <= offset < divisor, "
                f"found divisor={divisor}, offset={offset}"
            )
        self.divisor = divisor
        self.offset = offset
        self.minimum = divisor + offset if minimum is None else minimum
        self.margin = margin

    def fits(self, size: int) -> bool:
        """Whether images of this height or width, in pixels, can be taken."""
        return size >= self.minimum and size % self.divisor == self.offset

    def nearest(self, size: int) -> tuple[int, int]:
        """The largest fitting size that is not above `size`, and the smallest not below it.

        Both are the minimum where `size` is below it.
        """
        if size <= self.minimum:
            return self.minimum, self.minimum
        below = size - (size - self.offset) % self.divisor
        return below, below if below == size else below + self.divisor

    def call(self, inputs):
        self._check(inputs.shape)
        if None not in (inputs.shape[1], inputs.shape[2]):
            return inputs
        sizes: Any = tf.shape(inputs)[1:3]
        good = (sizes % self.divisor == self.offset) & (sizes >= self.minimum)
        below = tf.maximum(sizes - (sizes - self.offset) % self.divisor, self.minimum)
        above = tf.where(good, sizes, tf.maximum(below + self.divisor, self.minimum))
        above = tf.where(sizes < self.minimum, self.minimum, above)
        check = tf.debugging.Assert(
            tf.reduce_all(good),
            [self._expected(), "Found (height, width)", sizes, "these would do:", below, above],
        )
        # Only in graphs does the assertion have to be tied to the result.
        with tf.control_dependencies([] if check is None else [check]):
            return tf.identity(inputs)

    def _expected(self) -> str:
        rule = f"{self.divisor} * k" + (f" + {self.offset}" if self.offset else "")
        return (
            f"This network takes images whose height and width are {rule}, "
            f"at least {self.minimum} pixels."
        )

    def _advice(self, size: int) -> str:
        below, above = self.nearest(size)
        return str(below) if below == above else f"{below} or {above}"

    def _check(self, shape):
        for axis, side in ((1, "height"), (2, "width")):
            size = shape[axis]
            if size is not None and not self.fits(size):
                raise InputError(
                    f"{self._expected()} Found {side} {size}; {self._advice(size)} would do."
                )

    def compute_output_shape(self, input_shape):
        self._check(input_shape)  # Keras 3 does not call the layer on symbolic tensors
        return input_shape

    def compute_output_spec(self, inputs):
        # Keras 3 would announce the layer's own type.
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "divisor": self.divisor,
            "offset": self.offset,
            "minimum": self.minimum,
            "margin": self.margin,
        }
