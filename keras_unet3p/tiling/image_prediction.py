"""Segmentation of one image in memory, from a script."""

from __future__ import annotations

import collections
import math
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import NetworkFacts, TileGeometry
from keras_unet3p.graphs.network_geometry import network_facts, network_function
from keras_unet3p.tiling.in_graph_tiler import InGraphTiler
from keras_unet3p.tiling.tile_choice import model_geometry, small_geometry, whole_geometry

_COMPILED: weakref.WeakKeyDictionary[Any, collections.OrderedDict[tuple, Callable]] = (
    weakref.WeakKeyDictionary()
)
_LOCK = threading.Lock()
_MOST_COMPILED = 8
"""Graphs that are kept of a model, those used last; one takes 10 to 25 MiB.

Images of many sizes need one for each size of a tile: the full one and five smaller ones.
"""


def predict_image(
    model: Any,
    image: np.ndarray,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    blend: int | None = None,
    geometry: TileGeometry | None = None,
    kind: str = "probabilities",
    threshold: float = 0.5,
    batch_size: int = 1,
    test_time_augmentation: int = 1,
) -> np.ndarray:
    """Return probabilities or class ids for an image of any size, computed tile by tile.

    Args:
        model: a Keras model that takes (B, h, w, C) in unit values.
        image: (H, W) or (H, W, C): float in unit values, or uint8 / uint16, which are divided by
            255 / 65535.
        tile_size: side of the tile in pixels; the largest size not above it that the model takes is
            used. An image that fits into one tile of 1/8, 1/4, 3/8, 1/2 or 3/4 of that size gets
            one so small, if the model says which sizes it takes, as this package's do. A model of
            one fixed size gets that size.
        halo: pixels of context around each tile that are not kept; see `model_geometry`. With
            "exact", this package's models compute an image that has no more pixels than a tile as
            a whole.
        blend: width of the cross-fade between tiles. None is as wide as the halo allows, 0 is none.
        geometry: replaces the three arguments above.
        kind: "probabilities" or "classes". With "classes", probabilities are in memory for one row
            of tiles only.
        threshold: for one class, a pixel belongs to class 1 if its probability is at least this.
            For classes that may overlap, the same holds for each class.
        batch_size: number of tiles in one call of the model.
        test_time_augmentation: averages over 2, 4 or 8 flipped and transposed versions;
            see `InGraphTiler`.

    Returns:
        "probabilities" gives float32 (H, W, K). "classes" gives class ids (H, W), uint8 for up to
        256 classes and int32 for more; where classes may overlap, one map per class, uint8
        (H, W, K) of 0 and 1. For images larger than memory see `StreamingPredictor`.

    Raises:
        ValueError: if an argument does not fit the model.

    Example:
        >>> import numpy as np
        >>> from keras_unet3p.models import unet
        >>> model = unet(filters=2, depth=2)
        >>> predict_image(model, np.zeros((50, 70), np.uint8), tile_size=32, kind="classes").shape
        (50, 70)
    """
    if kind not in ("classes", "probabilities"):
        raise InputError(f"kind must be 'classes' or 'probabilities', found {kind!r}")
    facts = network_facts(model)
    channels = facts.channels
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
    if geometry is None and getattr(model, "facts", None) is not None:
        geometry = _one_tile(facts, tile_size, halo, *image.shape[:2])
    key = (tile_size, halo, blend, geometry, kind, threshold, batch_size, test_time_augmentation)
    key = (*key, image.dtype.name)
    run = _kept(model, key)
    if run is None:
        tiler = InGraphTiler(
            network_function(weakref.proxy(model)),
            geometry or model_geometry(model, tile_size, halo, blend=blend),
            facts.num_classes,
            batch_size=batch_size,
            threshold=threshold,
            multi_label=facts.is_multi_label(),
            test_time_augmentation=test_time_augmentation,
            percentiles=facts.percentiles,
            is_raw=facts.is_raw,
        )
        run = _compile(tiler, kind, channels, image.dtype)
        _keep(model, key, run)
    return run(tf.constant(image[np.newaxis])).numpy()[0]


def _one_tile(facts: NetworkFacts, tile_size, halo, height: int, width: int) -> TileGeometry | None:
    """The geometry that shows the whole image in one tile, where that is right and saves time."""
    if facts.fixed_size is not None:
        return None
    if halo == "exact":
        whole = whole_geometry(facts, height, width)
        return whole if math.prod(whole.tile) <= math.prod(facts.tile(tile_size)) else None
    return small_geometry(facts, tile_size, height, width)


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


def _compile(tiler: InGraphTiler, kind: str, channels: int, dtype) -> Callable:
    function = tiler.class_ids if kind == "classes" else tiler.probabilities
    spec = tf.TensorSpec((None, None, None, channels), dtype)
    return tf.function(function, input_signature=[spec], jit_compile=False, autograph=False)
