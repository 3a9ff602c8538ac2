from __future__ import annotations

from typing import Any

import numpy as np

from keras_unet3p.images.unit_values import scaled


class ScaledView:
    """An image that can be sliced, in unit values: windows are divided when they are read.

    Args:
        image: (H, W, C), anything that can be sliced.
        value_scale: the rule; see `Normalization`.

    Example:
        >>> view = ScaledView(np.full((80, 90, 1), 51.0), "255")
        >>> view.shape, round(float(view[:8, :8].max()), 6)
        ((80, 90, 1), 0.2)
    """

    def __init__(self, image: Any, value_scale: str) -> None:
        self._image, self._value_scale = image, value_scale
        self.shape, self.dtype = tuple(image.shape), np.dtype(np.float32)

    def __getitem__(self, key: Any) -> np.ndarray:
        return scaled(np.asarray(self._image[key]), self._value_scale)
