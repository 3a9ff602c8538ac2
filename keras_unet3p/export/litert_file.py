"""Export to LiteRT (TensorFlow Lite)."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from keras_unet3p.export.tile_export import TileExport
from keras_unet3p.graphs.network import Network


def export_litert(
    model: Network,
    path: str | os.PathLike,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    activation: str | None = "auto",
    half: bool = False,
) -> Path:
    """Write `model` as a LiteRT file that computes one tile per call.

    Its input is float32 (1, T, T, C) in unit values, its output probabilities, float32
    (1, T', T', K).

    Args:
        model: a Keras model.
        path: file ending in .tflite.
        tile_size, halo: see `tiling.model_geometry`.
        activation: see `graphs.network_function`.
        half: store the weights as float16.

    Returns:
        The path. NAME.model_card.json is written beside the file.

    Raises:
        ValueError: if an argument does not fit the model.

    Example:
        >>> from keras_unet3p.models import unet
        >>> model = unet(filters=2, depth=1)
        >>> export_litert(model, "cells.tflite", tile_size=64)  # doctest: +SKIP
    """
    export = TileExport(model, path, ".tflite", tile_size, halo, activation)
    spec = tf.TensorSpec((1, *export.geometry.tile, export.channels), tf.float32, name="tile")
    traced = tf.function(export.network, autograph=False).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    with export.working() as folder:
        working = folder / export.path.name
        working.write_bytes(converter.convert())
        return export.write(working)
