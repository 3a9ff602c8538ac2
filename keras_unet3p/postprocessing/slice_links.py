"""Objects of slices that follow each other, joined to objects of a volume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from keras_unet3p.errors import InputError

MIN_IOU = 0.25
"""Intersection over union from which on two outlines are one object's, as Cellpose has it."""
_BAND = 1024  # rows that are looked at together


class SliceLinker:
    """Numbers the objects of a volume by those of its slices, which are given one by one.

    The rule is that of Cellpose's `stitch3D`: an object goes on in the object of the next slice
    with which it has the highest intersection over union (IoU), if that is at least `min_iou`; of
    several that would go on in the same one, the one with the highest does. So each object has at
    most one part in a slice. Of equal ones the first in scanning order counts. How the objects of a
    slice are numbered does not matter. An object that is missing in a slice ends there.

    Args:
        min_iou: above 0, up to 1.

    Raises:
        ValueError: `min_iou` is beyond that.

    Example:
        >>> linker = SliceLinker()
        >>> linker.add(np.array([[1, 1, 0, 2]])), linker.add(np.array([[0, 5, 5, 0]]))
        (array([0, 1, 2]), array([0, 0, 0, 0, 0, 1]))
    """

    def __init__(self, min_iou: float = MIN_IOU) -> None:
        if not 0 < min_iou <= 1:
            raise InputError(f"min_iou must be above 0 and at most 1, found {min_iou}")
        self.min_iou = min_iou
        self.count = 0
        self._before: _Slice | None = None

    def begin_volume(self) -> None:
        """What follows is another volume: nothing goes on in it. Its numbers are others too."""
        self._before = None

    def add(self, labels: np.ndarray) -> np.ndarray:
        """The next slice.

        Args:
            labels: (H, W) ids, 0 the background; it is looked at again with the next slice, and
                may be mapped from the disk.

        Returns:
            For each id from 0 to the largest of the slice its number in the volume, int64; those
            that are not there get 0.

        Raises:
            ValueError: the slice has another size than the one before.
        """
        own = _Slice.of(labels)
        if self._before is not None:
            if self._before.labels.shape != labels.shape:
                raise InputError(
                    f"labels of {labels.shape}; expected {self._before.labels.shape}, as the slice "
                    "before"
                )
            before, after = self._links(self._before, own)
            own.numbers[after] = self._before.numbers[before]
        new = own.ids[own.numbers[own.ids] == 0]
        own.numbers[new] = self.count + 1 + np.arange(len(new))
        self.count += len(new)
        self._before = own
        return own.numbers

    def _links(self, before: _Slice, after: _Slice) -> tuple[np.ndarray, np.ndarray]:
        """Ids of the slice before, and those in which they go on."""
        left, right, common = _overlaps(before.labels, after.labels)
        iou = common / (before.areas[left] + after.areas[right] - common)
        kept = iou >= self.min_iou
        left, right, iou = left[kept], right[kept], iou[kept]
        order = np.lexsort((after.ranks[right], before.ranks[left], -iou))
        left, right = left[order], right[order]
        _, first = np.unique(left, return_index=True)  # in which each goes on
        first.sort()
        left, right = left[first], right[first]
        _, first = np.unique(right, return_index=True)  # of which each takes the best
        return left[first], right[first]


class _Slice(NamedTuple):
    """The objects of a slice; arrays with a value for each id from 0 on, but `ids`."""

    labels: np.ndarray
    ids: np.ndarray
    """Those that are there, in scanning order of the first pixels."""
    areas: np.ndarray
    ranks: np.ndarray
    """Their places in `ids`."""
    numbers: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> _Slice:
        size = 1 + max((int(band.max(initial=0)) for band in _bands(labels)), default=0)
        areas = np.zeros(size, np.int64)
        found = [np.zeros(0, np.int64)]
        for band in _bands(labels):
            present, first, count = np.unique(band, return_index=True, return_counts=True)
            present = present.astype(np.int64)
            new = (areas[present] == 0) & (present > 0)
            found.append(present[new][np.argsort(first[new])])
            areas[present] += count
        areas[0] = 0
        ids = np.concatenate(found)
        ranks = np.zeros(size, np.int64)
        ranks[ids] = np.arange(len(ids))
        return cls(labels, ids, areas, ranks, np.zeros(size, np.int64))


def link_slices(labels: Iterable[np.ndarray], min_iou: float = MIN_IOU) -> np.ndarray:
    """Ids of a volume's objects from ids that begin anew in each slice; see `SliceLinker`.

    Args:
        labels: (Z, H, W) ids, 0 the background.
        min_iou: above 0, up to 1.

    Returns:
        (Z, H, W), int32: ids from 1 on, by slice and scanning order of the objects' first pixels.

    Raises:
        ValueError: `min_iou` is beyond that, or slices differ in size.

    Example:
        >>> link_slices(np.array([[[7, 7, 0, 2]], [[2, 2, 0, 1]]])).tolist()
        [[[1, 1, 0, 2]], [[1, 1, 0, 2]]]
    """
    linker = SliceLinker(min_iou)
    return np.stack([linker.add(each).astype(np.int32)[each] for each in map(np.asarray, labels)])


def _bands(labels: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, len(labels), _BAND):
        yield np.asarray(labels[top : top + _BAND])


def _overlaps(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of ids that share pixels, and how many pixels they share."""
    pairs, counts = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
    for upper, lower in zip(_bands(before), _bands(after), strict=True):
        both = (upper > 0) & (lower > 0)
        together = np.stack([upper[both], lower[both]], axis=1).astype(np.int64)
        found, count = np.unique(together, axis=0, return_counts=True)
        pairs.append(found)
        counts.append(count)
    found, place = np.unique(np.concatenate(pairs), axis=0, return_inverse=True)
    shared = np.bincount(place.ravel(), weights=np.concatenate(counts), minlength=len(found))
    return found[:, 0], found[:, 1], shared[: len(found)].astype(np.int64)
