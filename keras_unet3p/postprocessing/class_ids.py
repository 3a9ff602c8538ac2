"""From probabilities to class ids, in NumPy; `in_graph_class_ids` does the same in a graph."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_foreground(probability: Any, threshold: float = 0.5) -> Any:
    """Where a probability is foreground: from the threshold on, the threshold itself included.

    One rule for the served graph, the streaming prediction, the metrics and the pictures; the same
    for NumPy arrays and for tensors, of any shape. NaN is not foreground.

    Example:
        >>> is_foreground(np.array([0.4, 0.5, np.nan])).tolist()
        [False, True, False]
    """
    return probability >= threshold


def has_threshold(num_classes: int, multi_label: bool = False) -> bool:
    """Whether a threshold decides: one class, or several that may overlap."""
    return num_classes == 1 or multi_label


def largest_id(num_classes: int, multi_label: bool = False) -> int:
    """The largest class id that `to_class_ids` gives.

    Example:
        >>> largest_id(1), largest_id(3), largest_id(3, multi_label=True)
        (1, 2, 1)
    """
    return 1 if has_threshold(num_classes, multi_label) else num_classes - 1


def to_class_ids(
    probabilities: np.ndarray, threshold: float = 0.5, *, multi_label: bool = False
) -> np.ndarray:
    """Class ids of probabilities.

    Args:
        probabilities: (..., K).
        threshold: with one class, a pixel is of class 1 from this probability on; with
            `multi_label`, of each class.
        multi_label: with several classes, each is decided by itself and they may overlap.

    Returns:
        Class ids (...): 0 and 1 for one class, else the index of the most probable class, the first
        of equal ones. Where several classes may overlap, a map per class (..., K) of 0 and 1. In
        the smallest unsigned type that holds all classes: uint8 up to 256 of them.

    Example:
        >>> to_class_ids(np.array([[[0.4], [0.5]]])).tolist()
        [[0, 1]]
        >>> to_class_ids(np.array([[[0.2, 0.7, 0.1]]])).tolist()
        [[1]]
        >>> to_class_ids(np.array([[[0.2, 0.7, 0.6]]]), multi_label=True).tolist()
        [[[0, 1, 1]]]
    """
    num_classes = probabilities.shape[-1]
    if has_threshold(num_classes, multi_label):
        ids = is_foreground(probabilities, threshold)
        ids = ids[..., 0] if num_classes == 1 else ids
    else:
        ids = probabilities.argmax(-1)
    return ids.astype(np.min_scalar_type(largest_id(num_classes, multi_label)))
