"""Where a probability is foreground."""

from __future__ import annotations

from typing import Any


def is_foreground(probability: Any, threshold: float = 0.5) -> Any:
    """Where a probability is foreground: from the threshold on, the threshold itself included.

    One rule for the served graph, the streaming prediction, the metrics and the pictures; the same
    for NumPy arrays and for tensors, of any shape. NaN is not foreground.

    Example:
        >>> is_foreground(np.array([0.49, 0.5, np.nan])).tolist()
        [False, True, False]
    """
    return probability >= threshold
