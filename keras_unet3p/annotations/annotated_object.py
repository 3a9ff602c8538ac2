"""One object of an annotated image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

OBJECT = "object"
"""The name of the class of objects that have none."""


class AnnotatedObject(NamedTuple):
    """An object, as a file tells it. Its pixels are computed when they are asked for.

    Attributes:
        label: the name of its class.
        parts: functions that take the image's height and width and return the pixels of a part, as
            places in the flattened image.
        number: its id in the image, where the file tells one.
        is_crowd: whether it is a group of objects that nobody told apart.

    Example:
        >>> from functools import partial
        >>> from keras_unet3p.annotations import polygon_pixels
        >>> square = [np.array([[1, 0], [3, 0], [3, 2], [1, 2]])]
        >>> AnnotatedObject("cell", [partial(polygon_pixels, square)]).pixels(2, 4).tolist()
        [1, 2, 5, 6]
    """

    label: str
    parts: list[Callable[[int, int], np.ndarray]]
    number: int | None = None
    is_crowd: bool = False

    def pixels(self, height: int, width: int) -> np.ndarray:
        """(N,) int64, rising: where the object is in the flattened image."""
        found = [part(height, width) for part in self.parts]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
