"""Pictures that let a person judge a segmentation: overlays, contours and labelled panels.

Images come in unit values (H, W) or (H, W, C), label images as integers (H, W); pictures are uint8
RGB (H, W, 3).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, replacing

TRUTH_COLOUR = (255, 176, 0)
PREDICTION_COLOUR = (0, 190, 255)
_UNLABELLED_COLOUR = (112, 112, 112)
CAPTION_HEIGHT = 26
"""Of a panel, pixels above its pictures."""
_WEIGHTS_GAP, _WEIGHTS_CAPTION = 8, 28
_GOLDEN_ANGLE = 137.508  # degrees: neighbouring ids get hues far apart


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Stretch an image's own range (its 0.5th to 99.5th percentile) to 8-bit RGB for viewing.

    Example:
        >>> to_rgb(np.random.default_rng(0).random((8, 9))).shape
        (8, 9, 3)
    """
    image = np.asarray(image, np.float32)
    if image.ndim == 3 and image.shape[-1] not in (1, 3):
        # More channels than a picture shows: the middle one (neighbouring slices lie around it).
        image = image[..., image.shape[-1] // 2]
    low, high = np.percentile(image, (0.5, 99.5))
    grey = np.clip((image - low) / max(float(high - low), 1e-6) * 255.0, 0, 255).astype(np.uint8)
    if grey.ndim == 2:
        grey = grey[..., None]
    return np.ascontiguousarray(np.broadcast_to(grey, (*grey.shape[:2], 3)))


def color_labels(labels: np.ndarray) -> np.ndarray:
    """Give every label its own colour, background black, unlabelled pixels (below 0) grey.

    Neighbouring labels differ in hue.

    Example:
        >>> color_labels(np.array([[0, 1]])).shape
        (1, 2, 3)
    """
    labels = np.asarray(labels, np.int64)
    # Steps of the golden ratio spread any number of hues evenly.
    hue = ((labels * 0.618033988749895) % 1.0 * 180).astype(np.uint8)
    full = np.full_like(hue, 255)
    hsv = np.stack([hue, np.where(labels % 2, full, full - 90).astype(np.uint8), full], axis=-1)
    colours = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    colours[labels == 0] = 0
    colours[labels < 0] = _UNLABELLED_COLOUR
    return colours


def mask_picture(labels: np.ndarray) -> np.ndarray:
    """White on black for a binary mask, a colour for each label otherwise; grey where unlabelled.

    Unlabelled pixels are those below 0.

    Example:
        >>> mask_picture(np.array([[0, 1]])).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    labels = np.asarray(labels)
    if labels.max(initial=0) <= 1:
        white = (labels > 0).astype(np.uint8) * 255
        picture = np.repeat(white[..., None], 3, axis=-1)
        picture[labels < 0] = _UNLABELLED_COLOUR
        return picture
    return color_labels(labels)


def label_borders(labels: np.ndarray) -> np.ndarray:
    """Pixels of a label that touch another one: contours that keep touching objects apart.

    Towards unlabelled pixels (below 0), where an object may go on, there is none.

    Example:
        >>> label_borders(np.array([[0, 1, 1, 1]])).astype(int).tolist()
        [[0, 1, 0, 0]]
    """
    labels = np.asarray(labels, np.int32)
    border = np.zeros(labels.shape, bool)
    known = labels >= 0
    vertical = (labels[1:] != labels[:-1]) & known[1:] & known[:-1]
    horizontal = (labels[:, 1:] != labels[:, :-1]) & known[:, 1:] & known[:, :-1]
    border[1:] |= vertical
    border[:-1] |= vertical
    border[:, 1:] |= horizontal
    border[:, :-1] |= horizontal
    return border & (labels > 0)


def overlay(
    image: np.ndarray,
    prediction: np.ndarray,
    truth: np.ndarray | None = None,
    *,
    opacity: float = 0.25,
) -> np.ndarray:
    """Draw the prediction over the image, and the truth's contours where it is given.

    Args:
        image: (H, W) or (H, W, C), unit values.
        prediction: labels (H, W); a tint inside, a line along the border.
        truth: labels (H, W), drawn as a line in another colour; below 0 where unlabelled.
        opacity: of the tint, 0 to 1.

    Returns:
        RGB picture (H, W, 3), uint8.

    Example:
        >>> overlay(np.eye(8), np.eye(8, dtype=int)).shape
        (8, 8, 3)
    """
    picture = to_rgb(image).astype(np.float32)
    prediction = np.asarray(prediction)
    several = prediction.max(initial=0) > 1
    tint = color_labels(prediction) if several else np.array(PREDICTION_COLOUR, np.float32)
    inside = (prediction > 0)[..., None]
    picture = np.where(inside, (1 - opacity) * picture + opacity * tint, picture)
    if truth is not None:
        picture[label_borders(truth)] = TRUTH_COLOUR
    picture[label_borders(prediction)] = PREDICTION_COLOUR
    return picture.astype(np.uint8)


def panel(pictures: Sequence[tuple[str, np.ndarray]], *, gap: int = 6) -> np.ndarray:
    """Put pictures of one size side by side under their captions.

    Args:
        pictures: pairs of a caption and an RGB picture (H, W, 3), all of one size.
        gap: pixels between them.

    Raises:
        ValueError: the pictures differ in size.

    Example:
        >>> black = np.zeros((8, 9, 3), np.uint8)
        >>> panel([("a", black), ("b", black)]).shape
        (34, 24, 3)
    """
    sizes = {picture.shape for _, picture in pictures}
    if len(sizes) != 1:
        raise InputError(f"pictures must be of one size, found {sorted(sizes)}")
    height, width, _ = sizes.pop()
    columns = len(pictures)
    canvas = np.full(
        (height + CAPTION_HEIGHT, columns * width + (columns - 1) * gap, 3), 255, np.uint8
    )
    for column, (caption, picture) in enumerate(pictures):
        left = column * (width + gap)
        canvas[CAPTION_HEIGHT:, left : left + width] = picture
        cv2.putText(
            canvas,
            caption,
            (left + 4, 18),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.5,
            (40, 40, 40),
            1,
            cv2.LINE_AA,
        )
    return canvas


def result_panel(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Image, truth, prediction and the contours of both over the image, side by side.

    The truth is below 0 where it is unlabelled, which is shown in grey.

    Example:
        >>> result_panel(np.eye(8), np.eye(8, dtype=int), np.eye(8, dtype=int)).shape
        (34, 50, 3)
    """
    return panel(
        [
            ("image", to_rgb(image)),
            ("truth", mask_picture(truth)),
            ("prediction", mask_picture(prediction)),
            ("truth (amber), prediction (blue)", overlay(image, prediction, truth, opacity=0.0)),
        ]
    )


def weight_map_picture(image: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Image, labels in colours, and weight map as a heat map, side by side with a colour scale.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3), of any values: black and white are its extremes.
        labels: (H, W) integers, 0 the background.
        weights: (H, W), of `data.border_weight_map(labels)` say.

    Returns:
        (H + 28, about 3 W, 3) uint8, red green blue.

    Raises:
        ValueError: the sizes differ, or the image has two or more than three channels.

    Example:
        >>> image, labels = np.eye(8), np.eye(8, dtype=int)
        >>> weight_map_picture(image, labels, np.ones((8, 8))).shape
        (36, 64, 3)
    """
    image = np.asarray(image, np.float32)
    image = image[..., np.newaxis] if image.ndim == 2 else image
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
    gap = np.full((height + _WEIGHTS_CAPTION, _WEIGHTS_GAP, 3), 255, np.uint8)
    columns: list[np.ndarray] = []
    for caption, panel in panels:
        column = np.full((height + _WEIGHTS_CAPTION, panel.shape[1], 3), 255, np.uint8)
        column[_WEIGHTS_CAPTION:] = panel
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


def write_picture(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write an RGB picture or a grey image (uint8 or uint16) atomically; the suffix decides.

    OpenCV never sees the name: one whose bytes are not UTF-8 would end the process.

    Raises:
        ValueError: OpenCV has no format of this suffix, or the format does not hold the picture.
        OSError: the file cannot be written.

    Example:
        >>> write_picture("picture.png", np.eye(8, dtype=np.uint8) * 255)
        >>> ku.images.read_image("picture.png")[0].shape
        (8, 8, 1)
    """
    picture = np.asarray(picture)
    if picture.ndim == 3:
        picture = picture[..., ::-1]  # OpenCV writes BGR
    suffix = Path(path).suffix
    try:
        encoded = suffix.isascii() and cv2.imencode(suffix, np.ascontiguousarray(picture))
    except cv2.error:
        encoded = None
    if not encoded or not encoded[0]:
        raise InputError(
            f"{printable(path)}: a picture of {picture.dtype} and shape {picture.shape} cannot be "
            f"written as {printable(suffix) or 'a file without a suffix'}; PNG holds it"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(encoded[1].tobytes())
