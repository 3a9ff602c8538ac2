"""An image and its masks, looked at in a notebook."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import cv2
import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.images import pictures

_SMALLEST, _LARGEST = 256, 1024  # sides as shown, pixels: captions fit, and a notebook stays small


class Shown:
    """A picture that notebooks display.

    Attributes:
        pixels: RGB (H, W, 3), uint8.

    Example:
        >>> Shown(np.zeros((8, 8, 3), np.uint8))
        Shown(8 x 8 pixels)
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def __repr__(self) -> str:
        height, width, _ = self.pixels.shape
        return f"Shown({width} x {height} pixels)"

    def _repr_png_(self) -> bytes:
        return cv2.imencode(".png", self.pixels[..., ::-1])[1].tobytes()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as PNG.

        Example:
            >>> Shown(np.zeros((8, 8, 3), np.uint8)).save("shown.png")
        """
        pictures.write_picture(path, self.pixels)


def show(
    image: np.ndarray,
    mask: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    *,
    class_names: Sequence[str] | None = None,
) -> Shown:
    """Put an image, its mask over it and a comparison with the truth side by side.

    Args:
        image: (H, W) or (H, W, C), of any range: it is stretched for viewing.
        mask: labels (H, W): class ids, or instance ids.
        truth: the right labels (H, W); below 0 where unlabelled.
        class_names: of the classes, the background first, for the legend; otherwise the objects
            are counted.

    Returns:
        A picture that a notebook displays; sides of 256 to 1024 pixels a part, larger images by
        every second, third, ... pixel.

    Raises:
        ValueError: sizes differ, or an array has another number of dimensions.

    Example:
        >>> image, ids = ku.data.generate_cells(64, seed=1)
        >>> ku.show(image, ids)
        Shown(518 x 282 pixels)
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise InputError(f"image has shape {image.shape}; expected (H, W) or (H, W, C)")
    masks = {name: np.asarray(a) for name, a in (("mask", mask), ("truth", truth)) if a is not None}
    for name, labels in masks.items():
        if labels.shape != image.shape[:2]:
            raise InputError(f"{name} has shape {labels.shape}; expected {image.shape[:2]}")
    image = _resized(image)
    parts: list[tuple[pictures.Caption, np.ndarray]] = [("image", pictures.to_rgb(image))]
    shown = {name: _resized(labels) for name, labels in masks.items()}
    for name, labels in shown.items():
        legend = (
            _count(name, masks[name])
            if class_names is None
            else _legend(name, np.maximum(labels, 0), class_names)
        )
        parts.append((legend, pictures.overlay(image, np.maximum(labels, 0))))
    if len(masks) == 2:
        contours = pictures.overlay(image, *shown.values(), opacity=0.0)
        parts.append(("truth (amber), mask (blue)", contours))
    return Shown(pictures.panel(parts))


def _resized(array: np.ndarray) -> np.ndarray:
    """By a whole factor, without values between those that are there."""
    step = math.ceil(max(array.shape[:2]) / _LARGEST)
    array = array[::step, ::step]
    times = math.ceil(_SMALLEST / array.shape[1])
    times = max(min(times, _LARGEST // max(array.shape[:2])), 1)
    return array.repeat(times, 0).repeat(times, 1)


def _count(name: str, labels: np.ndarray) -> str:
    number = np.unique(labels[labels > 0]).size
    return name if number <= 1 else f"{name}: {number} objects"


def _legend(name: str, labels: np.ndarray, class_names: Sequence[str]) -> pictures.Caption:
    """The names in the colours that these labels (H, W) get as a picture."""
    ids = np.unique(labels[labels > 0])
    colours = pictures.color_labels(labels)
    pieces = [(f"{name}:", (255, 255, 255))]
    for number in map(int, ids):
        text = class_names[number] if number < len(class_names) else f"class {number}"
        red, green, blue = map(int, colours[labels == number][0])
        several = ids[-1] > 1
        pieces.append((text, (red, green, blue) if several else pictures.PREDICTION_COLOUR))
    return pieces
