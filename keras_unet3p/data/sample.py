from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Sample(NamedTuple):
    """One image with its labels.

    Attributes:
        name: the file's stem, followed by `_000` and so on for the images of a stack.
        image: (height, width, channels) float32, unit values.
        labels: (height, width) int32: 0/1 (binary), class ids, or instance ids with background 0;
            -1 where a pixel is unlabelled (`open_images`'s `ignore`).

    Example:
        >>> Sample("cell", np.zeros((8, 8, 1), np.float32), np.zeros((8, 8), np.int32)).name
        'cell'
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
