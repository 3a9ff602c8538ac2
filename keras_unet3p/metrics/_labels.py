"""What the measures on label images share: checked arrays and the table of overlaps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_unet3p.errors import InputError

_FEW = 4
"""Up to this many possible values per pixel a table of them all is faster than sorting."""


class Overlaps(NamedTuple):
    """Objects of two label images and the pixels that they share.

    truth_sizes (T,), prediction_sizes (P,): pixels of each object, in the order of their labels.
    pairs (N, 2): indices of the objects that overlap. shared (N,): pixels that they share.
    """

    truth_sizes: np.ndarray
    prediction_sizes: np.ndarray
    pairs: np.ndarray
    shared: np.ndarray

    @property
    def jaccard(self) -> np.ndarray:
        """Jaccard index of each overlapping pair, (N,)."""
        truth, prediction = self.pairs.T
        union = self.truth_sizes[truth] + self.prediction_sizes[prediction] - self.shared
        return self.shared / union


def checked_labels(truth, prediction) -> tuple[np.ndarray, np.ndarray]:
    """Both as (H, W) int64; ValueError for other shapes, negative or broken labels."""
    arrays = []
    for name, values in (("truth", truth), ("prediction", prediction)):
        array = np.asarray(values)
        if array.ndim != 2:
            raise InputError(f"{name} must be (height, width); received shape {array.shape}.")
        if array.size == 0:
            raise InputError(f"{name} must hold at least one pixel; received shape {array.shape}.")
        if array.dtype.kind not in "biu":
            whole = np.isfinite(array).all() and (array == np.floor(array)).all()
            if array.dtype.kind != "f" or not whole:
                raise InputError(
                    f"{name} must hold labels, which are whole numbers; received {array.dtype} "
                    "values. Probabilities become labels by a threshold or "
                    "`postprocessing.instances_from_probability`."
                )
        array = array.astype(np.int64)
        if array.min() < 0:
            raise InputError(f"{name} must hold labels from 0; received {array.min()}.")
        arrays.append(array)
    if arrays[0].shape != arrays[1].shape:
        raise InputError(
            "truth and prediction must have one shape; "
            f"received {arrays[0].shape} and {arrays[1].shape}."
        )
    return arrays[0], arrays[1]


def overlaps(truth, prediction) -> Overlaps:
    """Overlaps of the objects (labels above 0) of two label images."""
    truth, prediction = checked_labels(truth, prediction)
    truth_labels, truth_ids = numbered(truth.ravel())
    prediction_labels, prediction_ids = numbered(prediction.ravel())
    columns = len(prediction_labels)
    codes, code_ids = numbered(truth_ids * columns + prediction_ids)
    counts = np.bincount(code_ids)
    rows, cols = np.divmod(codes, columns)
    # Background, where there is some, is the first label of either.
    skip_truth, skip_prediction = int(truth_labels[0] == 0), int(prediction_labels[0] == 0)
    objects = (rows >= skip_truth) & (cols >= skip_prediction)
    pairs = np.stack([rows - skip_truth, cols - skip_prediction], axis=1)[objects]
    return Overlaps(
        np.bincount(truth_ids, minlength=len(truth_labels))[skip_truth:],
        np.bincount(prediction_ids, minlength=columns)[skip_prediction:],
        pairs,
        counts[objects],
    )


def numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`np.unique(values, return_inverse=True)` of whole numbers from 0, (N,).

    Small numbers are not sorted.
    """
    largest = int(values.max(initial=0))
    if largest > _FEW * values.size:
        return np.unique(values, return_inverse=True)
    present = np.bincount(values, minlength=largest + 1) > 0
    numbers = np.cumsum(present) - 1
    return np.flatnonzero(present), numbers[values]
