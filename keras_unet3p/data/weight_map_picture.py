from __future__ import annotations

import cv2
import numpy as np

from keras_unet3p.data.border_weight_map import border_weight_map
from keras_unet3p.errors import InputError

_GAP, _CAPTION = 8, 28
_GOLDEN_ANGLE = 137.508  # degrees: neighbouring ids get hues far apart


def weight_map_picture(
    image: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Image, labels in colours, and weight map as a heat map, side by side with a colour scale.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3), of any values: black and white are its extremes.
        labels: (H, W) integers, 0 the background.
        weights: (H, W); by default `border_weight_map(labels)`.

    Returns:
        (H + 28, about 3 W, 3) uint8, red green blue.

    Raises:
        ValueError: the sizes differ, or the image has two or more than three channels.
    """
    image = np.asarray(image, np.float32)
    image = image[..., np.newaxis] if image.ndim == 2 else image
    weights = border_weight_map(labels) if weights is None else weights
    if (
        image.ndim != 3
        or image.shape[2] not in (1, 3)
        or not (image.shape[:2] == labels.shape == weights.shape)
    ):
        raise InputError(
            f"image {image.shape}, labels {labels.shape}, weights {weights.shape}; expected "
            "(H, W[, 1 or 3]), (H, W) and (H, W)"
        )
    height, width = labels.shape
    low, high = float(weights.min()), float(weights.max())
    scale = np.linspace(1.0, 0.0, height, dtype=np.float32)[:, np.newaxis].repeat(16, axis=1)
    panels = [
        ("image", np.broadcast_to(_stretched(image), (height, width, 3))),
        (f"{len(np.unique(labels[labels > 0]))} cells", _coloured(labels)),
        (f"weight {low:.2f} to {high:.2f}", _heat(_stretched(weights) / np.float32(255))),
        ("", _heat(scale)),
    ]
    gap = np.full((height + _CAPTION, _GAP, 3), 255, np.uint8)
    columns: list[np.ndarray] = []
    for caption, panel in panels:
        column = np.full((height + _CAPTION, panel.shape[1], 3), 255, np.uint8)
        column[_CAPTION:] = panel
        cv2.putText(column, caption, (2, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, 16)
        columns += [column, gap]
    return np.concatenate(columns[:-1], axis=1)


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return np.rint((values - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8)


def _coloured(labels: np.ndarray) -> np.ndarray:
    """Each id in a colour of its own, the background black."""
    hue = (labels.astype(np.float64) * _GOLDEN_ANGLE % 360.0).astype(np.float32)
    value = np.where(labels > 0, np.float32(0.65) + np.float32(0.35) * (labels % 3 / 2), 0)
    hsv = np.dstack([hue, np.full_like(hue, 0.65), value.astype(np.float32)])
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


def _heat(share: np.ndarray) -> np.ndarray:
    levels = np.rint(share * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
