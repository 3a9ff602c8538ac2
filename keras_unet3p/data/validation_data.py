from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_unet3p.data.labeled_images import LabeledImages
from keras_unet3p.data.mirroring import mirrored_crop
from keras_unet3p.data.patch_weights import PatchWeights
from keras_unet3p.data.separation import separate_instances
from keras_unet3p.data.training_data import pipeline_options
from keras_unet3p.errors import InputError
from keras_unet3p.images.unit_values import scale_in_place

if TYPE_CHECKING:
    import tensorflow as tf


def validation_pipeline(
    images: LabeledImages,
    *,
    patch_size: int,
    batch_size: int,
    scored_size: int | None = None,
    separation: int = 0,
    border_weights: Mapping[str, Any] | None = None,
    unit_mean: bool = False,
) -> tf.data.Dataset:
    """Batches of tiles that together score each pixel of each image exactly once, in fixed order.

    A tile's weight is 1 on the pixels that it scores and 0 elsewhere: on the mirrored filling
    beyond the image's border, and on what another tile scores already. With `sample_weight` (fit's
    and evaluate's third tensor) metrics are therefore exact. A loss that is to be compared with the
    training's wants the training's `border_weights`, and `unit_mean`; metrics then take
    `use_pixel_weights=False`, which counts each pixel whose weight is above 0 once.

    Args:
        images: as `open_images` gives them.
        patch_size: side of the square tiles, in pixels.
        batch_size: tiles a batch; the last batch may be smaller.
        scored_size: side of the central part of a tile that is scored; the rest is context. By
            default all of it. For a network without padding, its output's size.
        separation: as in `training_pipeline`.
        border_weights: as in `training_pipeline`, for a scored pixel's weight instead of 1.
        unit_mean: whether the weights are multiplied by the share of the tiles' central pixels that
            are scored, inverted. The mean over the tiles of a loss that averages a tile's weighted
            pixels is then its mean over the pixels of the images.

    Returns:
        A finite dataset of (image (B, P, P, C) float32, mask (B, P, P) int32, weight (B, P, P)
        float32). The mask of instances is 1 in every cell, but for `separation`.

    Raises:
        ValueError: a size is out of range.

    Example:
        >>> images, labels = zip(*(ku.data.generate_cells(32, seed=seed) for seed in range(2)))
        >>> opened = ku.data.open_images(images, labels)
        >>> dataset = validation_pipeline(opened, patch_size=32, batch_size=2)
        >>> [tuple(tensor.shape) for tensor in next(iter(dataset))]
        [(2, 32, 32, 1), (2, 32, 32), (2, 32, 32)]
    """
    import tensorflow as tf

    scored = patch_size if scored_size is None else scored_size
    for name, value in (("patch_size", patch_size), ("batch_size", batch_size)):
        if int(value) != value or value < 1:
            raise InputError(f"{name} is {value!r}; expected a whole number of at least 1")
    if not 1 <= scored <= patch_size or (patch_size - scored) % 2:
        raise InputError(
            f"scored_size is {scored}; expected 1 to patch_size ({patch_size}), "
            "smaller by an even number"
        )
    tiles = np.array(
        [
            (index, row, column)
            for index, (height, width) in enumerate(images.shapes)
            for row in range(math.ceil(height / scored))
            for column in range(math.ceil(width / scored))
        ],
        np.int64,
    )

    weights = None if border_weights is None else PatchWeights(images, border_weights)
    scored_pixels = sum(height * width for height, width in images.shapes)
    factor = len(tiles) * scored**2 / scored_pixels if unit_mean else 1.0

    def tile(number):
        index, row, column = (int(value) for value in number)
        patch, labels, scoring = _tile(images, index, row, column, patch_size, scored)
        mask = labels
        if images.mask_kind == "instances":
            mask = separate_instances(labels, separation)
        mask = mask.astype(np.int32)
        if weights is not None:
            scoring *= weights(labels, mask)
        return patch, mask, scoring * np.float32(factor)

    def load(number):
        image, mask, weight = tf.numpy_function(tile, [number], [tf.float32, tf.int32, tf.float32])
        image.set_shape((patch_size, patch_size, images.num_channels))
        mask.set_shape((patch_size, patch_size))
        weight.set_shape((patch_size, patch_size))
        return image, mask, weight

    dataset = tf.data.Dataset.from_tensor_slices(tiles)
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)
    return dataset.with_options(pipeline_options())


def _tile(
    images: LabeledImages, index: int, row: int, column: int, size: int, scored: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (size, size, C) and labels (size, size) of a tile, and 1 where its pixels score."""
    image, labels = images.stored(index)
    halo = (size - scored) // 2
    weight = np.zeros((size, size), np.float32)
    corners, fresh = [], []
    for place, side in ((row, labels.shape[0]), (column, labels.shape[1])):
        begin = place * scored
        # The last tile is moved back into the image: real context instead of a mirror image.
        start = max(min(begin, side - scored), 0)
        corners.append(start - halo)
        fresh.append(slice(begin - start + halo, min(side - start, scored) + halo))
    weight[tuple(fresh)] = 1.0
    top, left = corners
    patch = mirrored_crop(image, top, left, size, size).astype(np.float32)
    patch = scale_in_place(patch, image.dtype, images.value_scale)
    patch = images.for_network(index, patch)
    return patch, mirrored_crop(labels, top, left, size, size), weight
