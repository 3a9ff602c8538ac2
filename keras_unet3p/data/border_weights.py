from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

from keras_unet3p.errors import InputError

_TOLERANCE = 5e-5  # the largest term that is neglected; half of the promised 1e-4
_GROUP = 256
_ROWS = 32
_MOST_IDS_WITHOUT_RELABELLING = 1 << 18


def border_weight_map(
    labels: np.ndarray,
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_balance: bool | Sequence[float] = True,
    instances: bool | None = None,
    ignore_class: int | None = None,
) -> np.ndarray:
    """The pixel weights that make a network learn the gaps between touching cells.

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), Ronneberger et al. 2015, equation 2,
    where d1 and d2 are the distances in pixels, between pixel centres, from x to the nearest and
    to the second nearest cell. The formula is applied everywhere: inside a cell d1 is 0, so the
    rim of a cell that faces a neighbour is emphasised too. With fewer than two cells the second
    term is 0. The result is within 1e-4 of the formula, and takes one small distance
    transform a cell, over the cell's bounding box and the margin beyond which the term vanishes.

    Args:
        labels: (height, width) integers or bools, 0 the background. A binary mask (bools, or a
            single other value: 0 and 1, 0 and 255) is split into its 8-connected components, each
            of them a cell. Otherwise every value is one cell, which may be in several pieces; ids
            need not be contiguous.
        w0: height of the border term.
        sigma: its width, in pixels.
        class_balance: True for w_c = pixels / (2 pixels of x's class), the two classes being
            background and cell, whose mean over the map is 1; a class that covers the whole map
            weighs 1. A pair gives the weights of background and cell, for instance those of the
            whole training set, as in the paper. False for w_c = 1.
        instances: True where `labels` are instance ids whatever they look like: a patch that shows
            a single cell in two pieces is not binary. False splits whatever is not 0 into
            8-connected components. None decides as above.
        ignore_class: the value of unlabelled pixels, or None. They weigh 0, do not count in the
            class balance, and are no cell: no border is emphasised towards them.

    Returns:
        (height, width) float32, positive but for the ignored pixels.

    Raises:
        ValueError: `labels` is not a two-dimensional array of non-negative integers, or `w0`,
            `sigma`, `class_balance` or `instances` is out of range.

    Example:
        >>> labels = np.zeros((16, 16), int)
        >>> labels[:, :7], labels[:, 9:] = 1, 2
        >>> weights = border_weight_map(labels)
        >>> bool(weights[8, 8] > weights[8, 0])
        True
    """
    labels = np.asarray(labels)
    ignored = None if ignore_class is None else labels == ignore_class
    if ignored is not None:
        labels = np.where(ignored, labels.dtype.type(0), labels)
    labels = _checked(labels, w0, sigma, instances)
    weights = _class_weights(labels, class_balance, ignored)
    if w0 > 0 and labels.size:
        _add_border_term(weights, labels, w0, sigma)
    if ignored is not None:
        weights[ignored] = 0.0
    return weights


def _checked(labels: np.ndarray, w0: float, sigma: float, instances: bool | None) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "biu":
        raise InputError(
            f"labels: shape {labels.shape} of {labels.dtype}; expected (height, width) integers"
        )
    if not (0 <= w0 < math.inf and 0 < sigma < math.inf):
        raise InputError(f"w0 = {w0}, sigma = {sigma}; expected w0 >= 0 and sigma > 0, finite")
    if labels.size and labels.min() < 0:
        raise InputError(f"labels: the value {labels.min()}; expected 0 or positive ids")
    if instances not in (None, True, False):
        raise InputError(f"instances is {instances!r}; expected True, False or None")
    if not labels.size:
        return labels
    if _is_binary(labels) if instances is None else not instances:
        return cv2.connectedComponents((labels != 0).view(np.uint8), connectivity=8)[1]
    if labels.dtype.kind == "b":
        return labels.view(np.uint8)
    if labels.max() > _MOST_IDS_WITHOUT_RELABELLING:
        # Bounding boxes are kept in a list as long as the largest id.
        ids, places = np.unique(labels, return_inverse=True)
        labels = places.reshape(labels.shape) + (0 if ids[0] == 0 else 1)
    return labels


def _is_binary(labels: np.ndarray) -> bool:
    if labels.dtype.kind == "b":
        return True
    return np.count_nonzero(labels) == np.count_nonzero(labels == (labels.max() or 1))


def _class_weights(
    labels: np.ndarray, class_balance: bool | Sequence[float], ignored: np.ndarray | None
) -> np.ndarray:
    if class_balance is False:
        return np.ones(labels.shape, np.float32)
    cells = labels > 0
    if class_balance is True:
        count = int(np.count_nonzero(cells))
        size = cells.size - (0 if ignored is None else int(np.count_nonzero(ignored)))
        if count in (0, size):
            return np.ones(labels.shape, np.float32)
        pair = [size / (2.0 * (size - count)), size / (2.0 * count)]
    else:
        pair = [float(weight) for weight in class_balance]
        if len(pair) != 2 or not all(0 <= weight < math.inf for weight in pair):
            raise InputError(
                f"class_balance is {class_balance!r}; expected True, False, or the two weights of "
                "background and cell"
            )
    return np.where(cells, np.float32(pair[1]), np.float32(pair[0]))


def _add_border_term(weights: np.ndarray, labels: np.ndarray, w0: float, sigma: float) -> None:
    if w0 <= _TOLERANCE:
        return
    reach = sigma * math.sqrt(2.0 * math.log(w0 / _TOLERANCE))  # of d1 + d2
    found = [(cell, box) for cell, box in enumerate(ndimage.find_objects(labels), start=1) if box]
    if len(found) < 2:
        return
    boxes = np.array([[(side.start, side.stop) for side in box] for _, box in found])
    windows, used = _windows(boxes, reach, labels.shape)
    far = np.float32(4.0 * reach + sum(labels.shape))
    nearest = np.full(labels.shape, far, np.float32)
    second = np.full(labels.shape, far, np.float32)
    for place in np.flatnonzero(used).tolist():
        (top, bottom), (left, right) = windows[place].tolist()
        window = (slice(top, bottom), slice(left, right))
        outside = (labels[window] != found[place][0]).view(np.uint8)
        distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        first, other = nearest[window], second[window]
        cv2.min(other, cv2.max(first, distance), dst=other)
        cv2.min(first, distance, dst=first)
    # Some rows at a time, which stay in the processor's cache.
    for start in range(0, len(labels), _ROWS):
        rows = slice(start, start + _ROWS)
        total = _exact(nearest[rows]) + _exact(second[rows])
        total *= total
        total *= np.float32(-0.5 / sigma**2)
        np.exp(total, out=total)
        total *= np.float32(w0)
        weights[rows] += total


def _exact(distance: np.ndarray) -> np.ndarray:
    """Squares are whole numbers; OpenCV's roots of them differ in the last bit between calls."""
    squared = distance * distance
    return np.sqrt(np.rint(squared, out=squared), out=squared)


def _windows(
    boxes: np.ndarray, reach: float, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each cell's distances matter: (cells, 2, 2) bounds, and (cells,) whether anywhere.

    A pixel's term is neglected unless its distances to two cells add up to less than `reach`. Along
    either axis alone, the distances to their bounding boxes then do so too, which bounds the pixels
    that matter to a pair of cells. A cell's window is the union of those of its pairs and of its
    own box.
    """
    lower, upper = boxes[..., 0].astype(np.float32), boxes[..., 1].astype(np.float32) - 1
    windows = np.stack([lower, upper], axis=-1)
    used = np.zeros(len(boxes), bool)
    # From top to bottom, so that a group's neighbours are a run of the list.
    order = np.argsort(lower[:, 0], kind="stable")
    lower, upper = lower[order], upper[order]
    tallest = (upper[:, 0] - lower[:, 0]).max()
    for start in range(0, len(order), _GROUP):
        group = slice(start, min(start + _GROUP, len(order)))
        first = np.searchsorted(lower[:, 0], lower[start, 0] - tallest - reach)
        last = np.searchsorted(lower[:, 0], upper[group, 0].max() + reach, side="right")
        others = slice(first, last)
        gaps = []
        for axis in (0, 1):
            before = lower[group, axis][:, np.newaxis] - upper[others, axis]
            after = lower[others, axis] - upper[group, axis][:, np.newaxis]
            gap = np.maximum(np.maximum(before, after, out=before), 0, out=before)
            gaps.append(gap * gap)
        near = gaps[0] + gaps[1] < reach**2
        near[np.arange(group.stop - start), np.arange(start - first, group.stop - first)] = False
        mine, other = np.nonzero(near)
        if not len(mine):
            continue
        owner, run = np.unique(mine, return_index=True)
        # What the gap along the one axis takes is missing along the other (Pythagoras).
        along = np.sqrt(reach**2 - np.stack([gaps[1][near], gaps[0][near]], axis=1))
        mine, other, owner = mine + start, other + first, order[owner + start]
        starts = _outer_bound(lower[mine], lower[other], along)
        stops = -_outer_bound(-upper[mine], -upper[other], along)
        used[owner] = True
        windows[owner, :, 0] = np.minimum(windows[owner, :, 0], np.minimum.reduceat(starts, run))
        windows[owner, :, 1] = np.maximum(windows[owner, :, 1], np.maximum.reduceat(stops, run))
    windows = np.stack([np.floor(windows[..., 0]), np.ceil(windows[..., 1]) + 1], axis=-1)
    limits = np.array(shape)[np.newaxis, :, np.newaxis]
    return np.clip(windows, 0, limits).astype(np.int64), used


def _outer_bound(one: np.ndarray, two: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The lowest x at which the distances to two intervals that begin here are within `reach`."""
    outside_both = (one + two - reach) / 2.0
    outside_one = np.maximum(one, two) - reach
    return np.where(np.abs(one - two) <= reach, outside_both, outside_one)
