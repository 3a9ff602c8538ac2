"""The golden pairs of an exported model: requests, and what its graph answers to them here."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_unet3p.artifacts import ModelCard
from keras_unet3p.artifacts.golden_pairs import GOLDEN_FILE, GoldenPair, write_golden_pairs
from keras_unet3p.data import generate_cells
from keras_unet3p.tiling.exported_model import load_exported_model

_SMALL = (48, 64)
_ENCODED = ("serving_default", "probabilities_of_bytes", "instances_of_bytes")
_MOST_IN_PNG = 4  # channels


def add_golden_pairs(
    version: Path, card: ModelCard, tile: tuple[int, int], report: Callable[[int], object]
) -> None:
    """Ask each signature of a version folder, and keep requests and answers in it.

    The images are generated cells: small ones, and an encoded one that takes two tiles.

    Args:
        version: the folder.
        card: that of the model.
        tile: height and width of a tile.
        report: called with how many signatures have been asked.
    """
    loaded = load_exported_model(version)
    assert card.max_pixels is not None
    assert card.max_batch_pixels is not None
    most = math.isqrt(min(card.max_pixels, card.max_batch_pixels))
    pairs = []
    for asked, (name, signature) in enumerate(sorted(loaded.signatures.items())):
        report(asked)
        (input_name, spec), *_ = signature.structured_input_signature[1].items()
        if name in _ENCODED and card.input_channels > _MOST_IN_PNG:
            continue
        if name in _ENCODED:
            sides = (min(most, 3 * tile[0] // 4), min(most, 5 * tile[1] // 4))
            given = _encoded(sides, card.input_channels)
        elif name == "tile":
            given = _pixels(tile, card, np.float32)
        else:
            sides = (min(most, _SMALL[0]), min(most, _SMALL[1]))
            given = _pixels(sides, card, spec.dtype.as_numpy_dtype)
        try:
            answers = signature(**{input_name: tf.constant(given)})
        except tf.errors.InvalidArgumentError:
            continue  # so many classes that may overlap do not fit into a PNG
        output_name = next(n for n in answers if not n.endswith("count"))
        answer = answers[output_name].numpy()
        pairs.append(GoldenPair(name, input_name, output_name, given, answer))
    write_golden_pairs(version / GOLDEN_FILE, pairs)


def _cells(sides: tuple[int, int], channels: int) -> np.ndarray:
    """(H, W, channels) uint8; each channel has cells of its own."""
    return np.stack([generate_cells(sides, seed=seed)[0] for seed in range(channels)], -1)


def _encoded(sides: tuple[int, int], channels: int) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = tf.io.encode_png(_cells(sides, channels)).numpy()
    return array


def _pixels(sides: tuple[int, int], card: ModelCard, dtype: type) -> np.ndarray:
    image = _cells(sides, card.input_channels)[np.newaxis]
    if dtype == np.uint8:
        return image
    values = image.astype(np.float32) / 255.0
    constants = card.normalization
    if constants is not None and constants.value_scale == "raw" and constants.mean is not None:
        # Of the brightness of the images that the network was trained on.
        mean, std = np.array(constants.mean), np.array(constants.std)
        values = (values - values.mean()) / values.std() * std + mean
    return values.astype(np.float32)
