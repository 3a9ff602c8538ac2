from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

_TOLERANCE = 2e-5  # what neglected distances may add up to, well under the promised 1e-4
_MOST_IDS_WITHOUT_RELABELLING = 1 << 18


def border_weight_map(
    labels: np.ndarray,
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_balance: bool | Sequence[float] = True,
) -> np.ndarray:
    """The pixel weights that make a network learn the gaps between touching cells.

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), Ronneberger et al. 2015, equation 2,
    where d1 and d2 are the distances in pixels, between pixel centres, from x to the nearest and
    to the second nearest cell. The formula is applied everywhere: inside a cell d1 is 0, so the
    rim of a cell that faces a neighbour is emphasised too. With fewer than two cells the second
    term is 0. The result is within 1e-4 of the formula (for w0 = 10), and takes one small distance
    transform a cell, over the cell's bounding box and the margin beyond which the term vanishes.

    Args:
        labels: (height, width) integers: 0 the background, every other value one cell, which may
            be in several pieces; ids need not be contiguous. A bool array is split into its
            8-connected components.
        w0: height of the border term.
        sigma: its width, in pixels.
        class_balance: True for w_c = pixels / (2 pixels of x's class), the two classes being
            background and cell, whose mean over the map is 1; a class that covers the whole map
            weighs 1. A pair gives the weights of background and cell, for instance those of the
            whole training set, as in the paper. False for w_c = 1.

    Returns:
        (height, width) float32, positive.

    Raises:
        ValueError: `labels` is not a two-dimensional array of non-negative integers, or `w0`,
            `sigma` or `class_balance` is out of range.
    """
    labels = _checked(labels, w0, sigma)
    weights = _class_weights(labels, class_balance)
    if w0 > 0 and labels.size:
        _add_border_term(weights, labels, w0, sigma)
    return weights


def _checked(labels: np.ndarray, w0: float, sigma: float) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "biu":
        raise ValueError(
            f"labels: shape {labels.shape} of {labels.dtype}; expected (height, width) integers"
        )
    if not (0 <= w0 < math.inf and 0 < sigma < math.inf):
        raise ValueError(f"w0 = {w0}, sigma = {sigma}; expected w0 >= 0 and sigma > 0, finite")
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels: the value {labels.min()}; expected 0 or positive ids")
    if labels.dtype.kind == "b":
        return cv2.connectedComponents(labels.astype(np.uint8), connectivity=8)[1]
    if labels.size and labels.max() > _MOST_IDS_WITHOUT_RELABELLING:
        # Bounding boxes are kept in a list as long as the largest id.
        ids, labels = np.unique(labels, return_inverse=True)
        labels = labels.reshape(np.shape(labels)) + (1 if ids[0] != 0 else 0)
    return labels


def _class_weights(labels: np.ndarray, class_balance: bool | Sequence[float]) -> np.ndarray:
    if class_balance is False:
        return np.ones(labels.shape, np.float32)
    cells = labels > 0
    if class_balance is True:
        count = int(np.count_nonzero(cells))
        if count in (0, cells.size):
            return np.ones(labels.shape, np.float32)
        pair = [cells.size / (2.0 * (cells.size - count)), cells.size / (2.0 * count)]
    else:
        pair = [float(weight) for weight in class_balance]
        if len(pair) != 2 or not all(0 <= weight < math.inf for weight in pair):
            raise ValueError(
                f"class_balance is {class_balance!r}; expected True, False, or the two weights of "
                "background and cell"
            )
    return np.where(cells, np.float32(pair[1]), np.float32(pair[0]))


def _add_border_term(weights: np.ndarray, labels: np.ndarray, w0: float, sigma: float) -> None:
    boxes = [(cell, box) for cell, box in enumerate(ndimage.find_objects(labels), start=1) if box]
    if len(boxes) < 2 or w0 <= _TOLERANCE:
        return
    margin = math.ceil(sigma * math.sqrt(2.0 * math.log(w0 / _TOLERANCE)))
    far = np.float32(2.0 * margin + max(labels.shape))
    nearest = np.full(labels.shape, far, np.float32)
    second = np.full(labels.shape, far, np.float32)
    for cell, (rows, columns) in boxes:
        window = (
            slice(max(rows.start - margin, 0), rows.stop + margin),
            slice(max(columns.start - margin, 0), columns.stop + margin),
        )
        outside = (labels[window] != cell).view(np.uint8)
        distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        first, other = nearest[window], second[window]
        np.minimum(other, np.maximum(first, distance), out=other)
        np.minimum(first, distance, out=first)
    nearest += second
    nearest *= nearest
    nearest *= np.float32(-0.5 / sigma**2)
    np.exp(nearest, out=nearest)
    nearest *= np.float32(w0)
    weights += nearest
