"""Segmentation of one image held in memory, from a script."""

from __future__ import annotations

import collections
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.tiling.geometry import TileGeometry
from keras_unet3p.tiling.in_graph_tiler import InGraphTiler
from keras_unet3p.tiling.network_geometry import input_channels, model_geometry, network_function

_COMPILED: weakref.WeakKeyDictionary[Any, collections.OrderedDict[tuple, Callable]] = (
    weakref.WeakKeyDictionary()
)
_LOCK = threading.Lock()
_MOST_COMPILED = 4
"""Graphs that are kept of a model, those used last; one takes 10 to 25 MiB."""


def predict_image(
    model: Any,
    image: np.ndarray,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    blend: int | None = None,
    geometry: TileGeometry | None = None,
    tiles_per_step: int = 1,
    symmetries: int = 1,
) -> np.ndarray:
    """Probabilities for an image of any size, tile by tile.

    Args:
        model: a Keras model that takes (B, h, w, C) in unit values and gives probabilities.
        image: (H, W) or (H, W, C); float in unit values, or uint8 / uint16, which are divided by
            255 / 65535.
        tile_size: side of the tile in pixels; the largest size not above it that the model takes is
            used. A model of one fixed size gets that size.
        halo: pixels of context around each tile that are not kept; see `model_geometry`.
        blend: width of the cross-fade between tiles; None as wide as the halo allows, 0 none.
        geometry: replaces the three arguments above.
        tiles_per_step: tiles that go through the model together.
        symmetries: averages over 2, 4 or 8 mirrored and turned versions; see `InGraphTiler`.

    Returns:
        (H, W, K) float32. For an image larger than memory see `StreamingPredictor`.

    Raises:
        ValueError: if the image's shape or type does not fit the model.
    """
    channels = input_channels(model)
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.ndim != 3 or image.shape[-1] != channels or 0 in image.shape:
        raise InputError(
            f"image must be (H, W, {channels}) for this model, found shape {image.shape}"
        )
    if image.dtype == bool or image.dtype == np.float64 or image.dtype == np.float16:
        image = image.astype(np.float32)
    if image.dtype not in (np.float32, np.uint8, np.uint16):
        raise InputError(f"image must be float, uint8, uint16 or bool, found {image.dtype}")
    key = (tile_size, halo, blend, geometry, tiles_per_step, symmetries, image.dtype.name)
    run = _kept(model, key)
    if run is None:
        chosen = geometry or model_geometry(model, tile_size, halo, blend=blend)
        options = {"tiles_per_step": tiles_per_step, "symmetries": symmetries}
        run = _compile(weakref.proxy(model), chosen, channels, image.dtype, options)
        _keep(model, key, run)
    return run(tf.constant(image[np.newaxis])).numpy()[0]


def _kept(model, key: tuple) -> Callable | None:
    with _LOCK:
        compiled = _COMPILED.get(model)
        if compiled is None or key not in compiled:
            return None
        compiled.move_to_end(key)
        return compiled[key]


def _keep(model, key: tuple, run: Callable) -> None:
    with _LOCK:
        compiled = _COMPILED.setdefault(model, collections.OrderedDict())
        compiled[key] = run
        compiled.move_to_end(key)
        while len(compiled) > _MOST_COMPILED:
            compiled.popitem(last=False)


def _compile(model, geometry: TileGeometry, channels: int, dtype, options: dict) -> Callable:
    network = network_function(model)
    num_classes = int(network(tf.zeros((1, *geometry.tile, channels))).shape[-1] or 0)
    tiler = InGraphTiler(network, geometry, num_classes, **options)
    spec = tf.TensorSpec((None, None, None, channels), dtype)
    return tf.function(
        tiler.probabilities, input_signature=[spec], jit_compile=False, autograph=False
    )
