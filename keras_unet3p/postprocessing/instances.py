"""Instances from a probability map or from a mask."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import expand_labels, watershed

from keras_unet3p.errors import InputError
from keras_unet3p.postprocessing.class_ids import is_foreground
from keras_unet3p.postprocessing.regions import connected_regions


def instances_from_probability(
    probability,
    *,
    threshold: float = 0.5,
    min_size: int = 0,
    seed_threshold: float | None = None,
    fill_holes: bool = False,
    connectivity: int = 4,
) -> np.ndarray:
    """Label image of the connected regions of a foreground probability.

    Args:
        probability: (H, W) or (H, W, 1) probability of the foreground, or (H, W, K) of a softmax,
            whose class 0 is the background.
        threshold: Foreground is where the probability is this or above.
        min_size: Objects of fewer pixels are removed.
        seed_threshold: Above `threshold`; objects are then grown by a watershed from the regions
            from this one on, which parts touching objects whose border is less sure than their
            inside. Regions without such a seed stay objects of their own.
        fill_holes: Whether background enclosed by one object becomes part of it.
        connectivity: 4 or 8 neighbours.

    Returns:
        (H, W) int32, 0 for background, objects numbered from 1 in scanning order.

    Raises:
        ValueError: For other shapes, values outside [0, 1], arguments out of range.

    Example:
        >>> instances_from_probability(np.array([[0.9, 0.1, 0.6]]), threshold=0.5).tolist()
        [[1, 0, 2]]
    """
    foreground = _foreground_probability(probability)
    if connectivity not in (4, 8):
        raise InputError(f"connectivity must be 4 or 8; received {connectivity!r}.")
    if seed_threshold is not None and not seed_threshold > threshold:
        raise InputError(
            f"seed_threshold must be above threshold={threshold}; received {seed_threshold}."
        )
    mask = is_foreground(foreground, threshold)
    labels, count = connected_regions(mask, connectivity)
    if seed_threshold is not None:
        seeds, seed_count = connected_regions(
            is_foreground(foreground, seed_threshold), connectivity
        )
        seeded = np.zeros(count + 1, bool)
        seeded[labels[seeds > 0]] = True
        unseeded = mask & ~seeded[labels]
        seeds[unseeded] = labels[unseeded] + seed_count
        labels = watershed(
            -foreground, seeds, connectivity=1 if connectivity == 4 else 2, mask=mask
        )
    if fill_holes:
        labels = _without_holes(labels)
    sizes = np.bincount(labels.ravel())
    kept = sizes >= max(min_size, 1)
    kept[0] = False
    return _in_scanning_order(np.where(kept[labels], labels, 0))


def label_instances(mask: np.ndarray, width: int = 1, *, smallest: int | None = None) -> np.ndarray:
    """Instances of a predicted mask: its connected pieces, with the gaps between them closed.

    The way back from `separate_instances`: background between two instances that are at most
    `2 * width` pixels apart goes to the nearer one; the outlines towards the open background stay.

    Args:
        mask: (H, W), foreground where it is not 0.
        width: the width that the masks in training were drawn with.
        smallest: pieces of fewer pixels are left out; by default `(2 * width + 1) ** 2`, since
            what is smaller is lost in a mask drawn with gaps.

    Returns:
        (H, W) int32: instance ids from 1 on, 0 for background.

    Example:
        >>> mask = np.zeros((8, 9), int)
        >>> mask[:, :4] = mask[:, 6:] = 1
        >>> label_instances(mask, smallest=1)[0].tolist()
        [1, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    if smallest is None:
        smallest = (2 * width + 1) ** 2
    binary = np.asarray(mask > 0, np.uint8)
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(binary, connectivity=4)
    kept = statistics[:, cv2.CC_STAT_AREA] >= smallest
    kept[0] = False
    ids = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    instances = ids[np.asarray(pieces, np.int64)]
    if width == 0 or instances.max(initial=0) < 2:
        return instances
    values = instances.astype(np.float32)
    others = np.where(instances > 0, values, np.float32(np.inf))
    foreground = (instances > 0).astype(np.uint8)
    between = np.zeros(mask.shape, np.uint8)
    for near, across in zip(_lines(2 * width), _lines(width), strict=True):
        # Closing fills a gap whole or not at all, but bays of a single outline as well.
        two = cv2.dilate(values, near) > cv2.erode(others, near)
        closed = np.asarray(cv2.morphologyEx(foreground, cv2.MORPH_CLOSE, across), np.uint8)
        between[two & (closed > 0)] = 1
    # Between outlines at an odd angle the four directions leave holes of a pixel or two.
    whole = np.asarray(cv2.morphologyEx(between, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
    gaps = (whole > 0) & (instances == 0)
    return np.where(gaps, expand_labels(instances, 4 * width), instances).astype(np.int32)


def _foreground_probability(probability) -> np.ndarray:
    values = np.asarray(probability)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    elif values.ndim == 3 and values.shape[-1] > 1:
        values = 1.0 - values[..., 0]
    if values.ndim != 2:
        raise InputError(
            "probability must be (height, width) or (height, width, classes); "
            f"received shape {np.shape(probability)}."
        )
    values = values.astype(np.float32)
    if values.size and not (values.min() >= -1e-3 and values.max() <= 1.0 + 1e-3):
        raise InputError(
            "probability must hold values in [0, 1]; "
            f"received {values.min():g} to {values.max():g}."
        )
    return values


def _without_holes(labels: np.ndarray) -> np.ndarray:
    """Background that touches one object only, and not the image's edge, goes to that object."""
    holes, count = connected_regions(labels == 0)
    edge = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    filled = labels.copy()
    boxes = ndimage.find_objects(holes)
    for hole in set(range(1, count + 1)) - set(edge.tolist()):
        rows, columns = boxes[hole - 1]
        window = (
            slice(max(rows.start - 1, 0), rows.stop + 1),
            slice(max(columns.start - 1, 0), columns.stop + 1),
        )
        inside = holes[window] == hole
        around = labels[window][ndimage.binary_dilation(inside) & ~inside]
        if around.min() == around.max():
            filled[window][inside] = around[0]
    return filled


def _in_scanning_order(labels: np.ndarray) -> np.ndarray:
    found, first = np.unique(labels, return_index=True)
    first = first[found > 0]
    found = found[found > 0]
    numbers = np.zeros(labels.max(initial=0) + 1, np.int32)
    numbers[found[np.argsort(first)]] = np.arange(1, len(found) + 1)
    return numbers[labels]


def _lines(reach: int) -> list[np.ndarray]:
    """Lines through a pixel in four directions, `reach` pixels to each side.

    A square would reach around the ends of a gap as well, and so change the outlines there.
    """
    side = 2 * reach + 1
    diagonal = np.eye(side, dtype=np.uint8)
    return [
        np.ones((1, side), np.uint8),
        np.ones((side, 1), np.uint8),
        diagonal,
        np.ascontiguousarray(diagonal[::-1]),
    ]
