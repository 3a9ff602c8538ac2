"""What a network learns of instances: where any of them is, and how deep inside."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_unet3p.errors import InputError

INSTANCE_MAPS = 2
"""Channels of `instance_maps`: foreground and core."""

_REACH = 64


def instance_maps(ids: Any, *, ignore_class: int | None = None, reach: int = _REACH) -> tf.Tensor:
    """Foreground and core of instance ids: the target of a network that tells touching cells apart.

    The core of a pixel is its distance to the outline of its instance, divided by the largest such
    distance in the instance: 1 in the middle, low along the outline and along touching instances
    alike, 0 outside. The distance is counted in pixels, 1 on the outline, by erosion in turn with
    a cross and a square (an octagon's distance); the edge of the image is no outline. (Distance to
    the border as a target: Bai and Urtasun 2017, "Deep Watershed Transform"; normalised per cell:
    Naylor et al. 2018.)

    A network for it has two classes and a sigmoid each, its loss is
    `losses.InstanceLoss()`, which makes these maps of ids by itself, and
    `postprocessing.InstanceRule` makes instances of its answer.

    Args:
        ids: (B, H, W) or (B, H, W, 1), any dtype, below 2^31: 0 the background.
        ignore_class: the value of unlabelled pixels, or None. They are in both maps as they are,
            and an outline runs along them.
        reach: distances beyond are counted as this one.

    Returns:
        (B, H, W, 2) float32 in [0, 1].

    Raises:
        ValueError: for another shape.

    Example:
        >>> maps = instance_maps(tf.constant([[[0, 1, 1, 1, 1, 1, 2, 2, 2, 0]] * 9]))
        >>> [round(float(value), 2) for value in maps[0, 4, :, 1]]
        [0.0, 0.33, 0.67, 1.0, 0.67, 0.33, 0.5, 1.0, 0.5, 0.0]
    """
    ids = tf.convert_to_tensor(ids)
    if ids.shape.rank == 4 and ids.shape[-1] == 1:
        ids = tf.squeeze(ids, -1)
    if ids.shape.rank != 3:
        raise InputError(
            f"ids must be (B, H, W) or (B, H, W, 1), found shape {tuple(ids.shape or ())}"
        )
    ids = tf.cast(ids, tf.int32)
    ignored = None if ignore_class is None else tf.equal(ids, ignore_class)
    inside = ids > 0 if ignored is None else (ids > 0) & ~ignored
    distance = _distances(ids, inside, reach)

    # Numbers without gaps for the instances of the whole batch.
    shape = tf.shape(ids)
    image = tf.cast(tf.range(shape[0]), tf.int64)[:, tf.newaxis, tf.newaxis]
    keys = tf.boolean_mask(image * 2**31 + tf.cast(ids, tf.int64), inside)
    found, numbers = tf.unique(keys)
    distances = tf.boolean_mask(distance, inside)
    deepest = tf.math.unsorted_segment_max(distances, numbers, tf.size(found))
    share = distances / tf.maximum(tf.gather(deepest, numbers), 1.0)
    core = tf.scatter_nd(tf.where(inside), share, tf.cast(shape, tf.int64))

    maps = tf.stack([tf.cast(inside, tf.float32), core], axis=-1)
    if ignored is not None and ignore_class is not None:
        maps = tf.where(tf.expand_dims(ignored, -1), float(ignore_class), maps)
    maps.set_shape((*ids.shape, INSTANCE_MAPS))
    return maps


def _distances(ids: tf.Tensor, inside: tf.Tensor, reach: int) -> tf.Tensor:
    """Distance of each pixel to the outline of its instance, (B, H, W) float32, at most `reach`."""
    beside = tf.equal(ids[:, :, 1:], ids[:, :, :-1])
    below = tf.equal(ids[:, 1:], ids[:, :-1])
    # After the first erosion no instance touches another one: what is left needs no ids.
    left = inside
    for same, axis in ((beside, 2), (below, 1)):
        left &= _padded(same, axis, 0) & _padded(same, axis, 1)

    def erode(count: tf.Tensor, left: tf.Tensor, total: tf.Tensor):
        total += tf.cast(left, tf.float32)
        rows = _eroded(left, 1)
        square = _eroded(rows, 2)
        cross = rows & _eroded(left, 2)
        return count + 1, tf.where(tf.equal(tf.math.floormod(count, 2), 0), square, cross), total

    _, _, distance = tf.while_loop(
        lambda count, left, _: tf.reduce_any(left) & (count < reach - 1),
        erode,
        (0, left, tf.cast(inside, tf.float32)),
        parallel_iterations=1,
    )
    return distance


def _padded(values: tf.Tensor, axis: int, at_end: int) -> tf.Tensor:
    """One True more at the beginning or the end of an axis: the image's edge is no outline."""
    pads = [[0, 0], [0, 0], [0, 0]]
    pads[axis][at_end] = 1
    return tf.pad(values, pads, constant_values=True)


def _eroded(mask: tf.Tensor, axis: int) -> tf.Tensor:
    """The pixels whose neighbours along an axis are in the mask too."""
    ahead = mask[:, 1:] if axis == 1 else mask[:, :, 1:]
    behind = mask[:, :-1] if axis == 1 else mask[:, :, :-1]
    return mask & _padded(ahead, axis, 1) & _padded(behind, axis, 0)
