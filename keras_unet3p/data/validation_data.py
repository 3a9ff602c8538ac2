from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_unet3p.data.labeled_images import LabeledImages
from keras_unet3p.data.mirroring import mirrored_crop
from keras_unet3p.data.patch_weights import PatchWeights
from keras_unet3p.data.training_data import (
    pipeline_options,
    replica_batch_size,
    with_instance_maps,
)
from keras_unet3p.data.unlabeled import check_instances, target_mask
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
    instances: str = "gaps",
    border_weights: Mapping[str, Any] | None = None,
    unit_mean: bool = False,
    input_context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Batches of tiles that together score each pixel of each image exactly once, in fixed order.

    A tile's weight is 1 on the pixels that it scores and 0 elsewhere: on the mirrored filling
    beyond the image's border, on what another tile scores already, and on unlabelled pixels, which
    the mask marks with `IGNORED` (-1). Tiles that would score none are left out. With
    `sample_weight` (fit's and evaluate's third tensor) metrics are therefore exact. A loss that is
    to be compared with the training's wants the training's `border_weights`, and `unit_mean`;
    metrics then take `use_pixel_weights=False`, which counts each pixel whose weight is above 0
    once.

    Args:
        images: as `open_images` gives them.
        patch_size: side of the square tiles, in pixels.
        batch_size: tiles a batch; the last batch may be smaller.
        scored_size: side of the central part of a tile that is scored; the rest is context. By
            default all of it. For a network without padding, its output's size.
        separation, instances: as in `training_pipeline`.
        border_weights: as in `training_pipeline`, for a scored pixel's weight instead of 1.
        unit_mean: whether the weights are multiplied by the share of the tiles' central pixels that
            are scored, inverted; with unlabelled pixels, in proportion to the labelled pixels of
            the tile, by which a loss with `ignore_class` divides. The mean over the tiles of a loss
            that averages a tile's weighted pixels is then its mean over the pixels of the images.
        input_context: of one of several machines that train in step: the dataset then holds this
            machine's share of the tiles, in batches for one replica. All machines have the same
            number of batches, none is empty, and their sizes differ by one at most.

    Returns:
        A finite dataset of (image (B, P, P, C) float32, mask (B, P, P) int32, weight (B, P, P)
        float32).

    Raises:
        ValueError: a size is out of range, or there are fewer tiles than replicas.

    Example:
        >>> images, labels = zip(*(ku.data.generate_cells(32, seed=seed) for seed in range(2)))
        >>> opened = ku.data.open_images(images, labels)
        >>> dataset = validation_pipeline(opened, patch_size=32, batch_size=2)
        >>> [tuple(tensor.shape) for tensor in next(iter(dataset))]
        [(2, 32, 32, 1), (2, 32, 32), (2, 32, 32)]
    """
    import tensorflow as tf

    check_instances(instances, images.mask_kind)
    scored = patch_size if scored_size is None else scored_size
    for name, value in (("patch_size", patch_size), ("batch_size", batch_size)):
        if int(value) != value or value < 1:
            raise InputError(f"{name} is {value!r}; expected a whole number of at least 1")
    if not 1 <= scored <= patch_size or (patch_size - scored) % 2:
        raise InputError(
            f"scored_size is {scored}; expected 1 to patch_size ({patch_size}), "
            "smaller by an even number"
        )
    tiles = [
        (index, row, column)
        for index, (height, width) in enumerate(images.shapes)
        for row in range(math.ceil(height / scored))
        for column in range(math.ceil(width / scored))
    ]
    tiles, factors = _with_factors(images, tiles, patch_size, scored)
    if not unit_mean:
        factors = np.ones(len(tiles), np.float32)
    weights = None if border_weights is None else PatchWeights(images, border_weights)

    def tile(number, factor):
        index, row, column = (int(value) for value in number)
        patch, labels, scoring = _tile(images, index, row, column, patch_size, scored)
        mask = target_mask(labels, images.mask_kind, separation)
        if weights is not None:
            scoring *= weights(labels, mask)
        if instances == "distance":
            mask = labels.astype(np.int32)
        return patch, mask, scoring * factor

    def load(number, factor):
        kinds = [tf.float32, tf.int32, tf.float32]
        image, mask, weight = tf.numpy_function(tile, [number, factor], kinds)
        image.set_shape((patch_size, patch_size, images.num_channels))
        mask.set_shape((patch_size, patch_size))
        weight.set_shape((patch_size, patch_size))
        return image, mask, weight

    def batches(chosen, size):
        dataset = tf.data.Dataset.from_tensor_slices((numbers[chosen], factors[chosen]))
        dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return dataset.batch(size)

    numbers = np.array(tiles, np.int64)
    if input_context is None:
        dataset = batches(slice(None), batch_size)
    else:
        larger, smaller = _share(len(tiles), batch_size, input_context)
        dataset = batches(np.concatenate(smaller), len(smaller[0]))
        if larger:
            dataset = batches(np.concatenate(larger), len(larger[0])).concatenate(dataset)
    if instances == "distance":
        dataset = dataset.map(
            with_instance_maps(images), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(pipeline_options())


def _share(
    tiles: int, batch_size: int, input_context: tf.distribute.InputContext
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The batches of one machine, as numbers of tiles: larger ones by one tile, and the others.

    In every step each replica gets a batch that is not empty: of no image there is no mean loss.
    """
    replicas = input_context.num_replicas_in_sync
    if tiles < replicas:
        raise InputError(
            f"images: {tiles} tiles for validation on {replicas} devices that train in step; "
            "expected at least one for each: hold out more images, or take smaller patches"
        )
    replica_batch_size(batch_size, input_context)  # the training's; told here too
    steps = min(math.ceil(tiles / batch_size), tiles // replicas)
    parts = np.array_split(np.arange(tiles), steps * replicas)
    mine = parts[input_context.input_pipeline_id :: input_context.num_input_pipelines]
    least = tiles // (steps * replicas)
    return [p for p in mine if len(p) > least], [p for p in mine if len(p) == least]


def _with_factors(
    images: LabeledImages, tiles: list[tuple[int, int, int]], size: int, scored: int
) -> tuple[list[tuple[int, int, int]], np.ndarray]:
    """The tiles that score a labelled pixel, and what makes the mean of their losses exact.

    The loss of a tile is a sum over its scored pixels, divided by the number of the central pixels
    that are labelled. That number, in proportion to the scored pixels of all, is its factor.
    """
    scored_pixels = sum(height * width for height, width in images.shapes)
    if images.ignore is None:
        factor = len(tiles) * scored**2 / scored_pixels
        return tiles, np.full(len(tiles), factor, np.float32)
    halo = (size - scored) // 2
    centre = slice(halo, halo + scored)
    kept, labelled, scored_pixels = [], [], 0
    for tile in tiles:
        labels = images.stored(tile[0])[1]
        top, left, scoring = _place(labels.shape, tile[1], tile[2], size, scored)
        known = mirrored_crop(labels, top, left, size, size)[centre, centre] >= 0
        count = int(np.count_nonzero(known & (scoring[centre, centre] > 0)))
        if count:
            kept.append(tile)
            labelled.append(np.count_nonzero(known))
            scored_pixels += count
    return kept, (np.array(labelled) * (len(kept) / scored_pixels)).astype(np.float32)


def _place(
    shape: tuple[int, ...], row: int, column: int, size: int, scored: int
) -> tuple[int, int, np.ndarray]:
    """Upper left corner of a tile, and 1 where its pixels (size, size) score."""
    halo = (size - scored) // 2
    weight = np.zeros((size, size), np.float32)
    corners, fresh = [], []
    for place, side in ((row, shape[0]), (column, shape[1])):
        begin = place * scored
        # The last tile is moved back into the image: real context instead of a mirror image.
        start = max(min(begin, side - scored), 0)
        corners.append(start - halo)
        fresh.append(slice(begin - start + halo, min(side - start, scored) + halo))
    weight[tuple(fresh)] = 1.0
    return corners[0], corners[1], weight


def _tile(
    images: LabeledImages, index: int, row: int, column: int, size: int, scored: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (size, size, C) and labels (size, size) of a tile, and 1 where its pixels score."""
    image, labels = images.stored(index)
    top, left, weight = _place(labels.shape, row, column, size, scored)
    patch = mirrored_crop(image, top, left, size, size).astype(np.float32)
    patch = scale_in_place(patch, image.dtype, images.value_scale)
    patch = images.for_network(index, patch)
    labels = mirrored_crop(labels, top, left, size, size)
    if images.ignore is not None:
        weight[labels < 0] = 0.0
    return patch, labels, weight
