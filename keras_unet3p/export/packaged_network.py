"""Whole images, as they are stored, to probabilities: one function, as a SavedModel and as ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.export.graph_checks import checked_pixels
from keras_unet3p.export.saved_model import write_graph
from keras_unet3p.files import reason
from keras_unet3p.geometry import mirrored
from keras_unet3p.graphs import freeze_network
from keras_unet3p.graphs.network import Network
from keras_unet3p.graphs.network_geometry import network_facts
from keras_unet3p.images.unit_values import VALUE_SCALES, divisor, reciprocal
from keras_unet3p.layers.stretching import LEAST_RANGE, stretch
from keras_unet3p.tiling.in_graph_tiler import InGraphTiler
from keras_unet3p.tiling.tile_choice import model_geometry

INPUT, OUTPUT = "image", "probabilities"
OPSET = 17
_MOST_PIXELS = 2**28


class PackagedNetwork:
    """Takes float32 (B, H, W, C), the values of the files; gives probabilities (B, H, W, K).

    Images have any size. Scaling, stretching and normalising are in the graph.

    Args:
        model: a Keras model.
        tile_size, halo: see `tiling.model_geometry`.
        value_scale: the rule for stored values; see `images.Normalization`.
        stored_types: the types of the pixels in the files, such as "uint8".

    Attributes:
        geometry: the tiles inside the SavedModel.
        channels, num_classes: C and K.
        stored_maximum: the stored value that is 1 in unit values; 1 where the files differ in it,
            so that unit values are taken.
        percentiles: those by which each image is stretched in the graph, or None.
        is_raw: whether stored values are taken that have a scale of their own.

    Raises:
        ValueError: an argument does not fit the model.
    """

    def __init__(
        self,
        model: Network,
        *,
        tile_size: int | tuple[int, int] = 512,
        halo: int | str | None = None,
        value_scale: str = "dtype",
        stored_types: Sequence[str] = ("uint8",),
    ) -> None:
        if value_scale not in VALUE_SCALES:
            accepted = ", ".join(map(repr, VALUE_SCALES))
            raise InputError(f"value_scale must be one of {accepted}, found {value_scale!r}")
        self._model = model
        self._facts = network_facts(model)
        self.geometry = model_geometry(model, tile_size, halo)
        self.channels, self.num_classes = self._facts.channels, self._facts.num_classes
        self.percentiles = self._facts.percentiles
        found = {divisor(np.dtype(name), value_scale) for name in stored_types}
        self.is_raw = value_scale == "raw"
        self.stored_maximum = found.pop() if len(found) == 1 else 1.0

    @property
    def values(self) -> str:
        """In words, which values the graph takes."""
        if self.percentiles is not None:
            low, high = self.percentiles
            return (
                f"Values as they are in the files, of any scale: the percentiles {low:g} and "
                f"{high:g} of each image become 0 and 1 in the graph."
            )
        if self.is_raw:
            return "Values as they are in the files, of the scale of the training images."
        if self.stored_maximum == 1.0:
            return "Values from 0 to 1; divide integers by the largest value of their type."
        return f"Values as they are in the files, from 0 to {self.stored_maximum:g}."

    def write_saved_model(self, folder: Path) -> None:
        """Write a SavedModel with the one signature `serving_default`."""
        network = freeze_network(self._model, self.geometry.tile, self.channels)
        tiler = InGraphTiler(
            lambda tiles: network(self._scaled(tiles)),
            self.geometry,
            self.num_classes,
            percentiles=self.percentiles,
            is_raw=True,
        )

        def run(**images: tf.Tensor) -> dict[str, tf.Tensor]:
            given = checked_pixels(images[INPUT], _MOST_PIXELS, _MOST_PIXELS)
            return {OUTPUT: tiler.probabilities(given)}

        spec = {INPUT: ((None, None, None, self.channels), tf.float32)}
        write_graph(folder, {"serving_default": (run, spec)})

    @property
    def has_onnx(self) -> bool:
        """Whether `write_onnx` can: for networks of one fixed size it cannot."""
        return self._facts.fixed_size is None

    def write_onnx(self, path: Path) -> None:
        """Write the same function as ONNX, without tiles: memory grows with the image.

        For images within one tile the results are equal; for larger ones they differ by what the
        halo leaves.

        Raises:
            ImportError: the package tf2onnx is not installed.
            ValueError: the network has operations that ONNX has not.
        """
        import onnx
        import tf2onnx

        network = freeze_network(self._model, (None, None), self.channels, skip_empty=False)
        spec = tf.TensorSpec((None, None, None, self.channels), tf.float32, name=INPUT)

        @tf.function(input_signature=[spec])
        def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
            height, width = tf.shape(images)[1], tf.shape(images)[2]
            if self.percentiles is not None:
                images = _stretched(images, self.percentiles)
            found = network(self._extended(self._scaled(images)))
            return {OUTPUT: found[:, :height, :width]}

        tf2onnx.convert.from_function(run, [spec], opset=OPSET, output_path=str(path))
        try:
            onnx.checker.check_model(str(path))
        except onnx.checker.ValidationError as error:
            raise InputError(f"the network cannot be written as ONNX ({reason(error)})") from error

    def _scaled(self, values: tf.Tensor) -> tf.Tensor:
        if self.percentiles is not None or self.stored_maximum == 1.0:
            return values
        return values * reciprocal(self.stored_maximum)

    def _extended(self, images: tf.Tensor) -> tf.Tensor:
        """Images with what a single tile would show around them."""
        for axis in (1, 2):
            images = self._extended_along(images, axis)
        return images

    def _extended_along(self, images: tf.Tensor, axis: int) -> tf.Tensor:
        facts, length = self._facts, tf.shape(images)[axis]
        # ONNX's divisions of negative integers differ from TensorFlow's, so there are none here.
        step = facts.tile_step
        least = tf.maximum(length + 2 * facts.margin, self.geometry.tile[axis - 1])
        side = (least - facts.offset + step - 1) // step * step + facts.offset
        if self.geometry.fill == "zeros":
            beyond: Any = [[0, 0], [0, 0], [0, 0], [0, 0]]
            beyond[axis] = [0, side - length]
            return tf.pad(images, beyond)
        period = tf.maximum(2 * (length - 1), 1)
        places = tf.range(side) - facts.margin + facts.margin * period
        return tf.gather(images, mirrored(places, length, tf.maximum), axis=axis)


def _stretched(images: tf.Tensor, percentiles: tuple[float, float]) -> tf.Tensor:
    """`layers.stretching` of each image, by sorting, which ONNX has, and without a histogram."""
    shape = tf.shape(images)
    channels = images.shape[-1]
    values = tf.transpose(tf.reshape(images, (shape[0], -1, channels)), (0, 2, 1))
    values = tf.sort(values)  # (B, C, H * W)
    count = tf.cast(tf.shape(values)[2], tf.float64)

    def value(percentile: float) -> tf.Tensor:
        rank = tf.maximum(tf.math.ceil(count * np.float64(percentile / 100.0)), 1.0)
        return values[:, :, tf.cast(rank, tf.int32) - 1]

    low, high = value(percentiles[0]), value(percentiles[1])
    extent = tf.reduce_max(values, (1, 2)) - tf.reduce_min(values, (1, 2))
    least = tf.maximum(extent * LEAST_RANGE, tf.reduce_max(tf.abs(low), axis=1) * 1e-6)
    high = tf.maximum(high, low + tf.maximum(least, 1e-12)[:, tf.newaxis])
    return stretch(images, low[:, tf.newaxis, tf.newaxis], high[:, tf.newaxis, tf.newaxis])
