"""Pictures that let a person judge a segmentation: overlays, contours and labelled panels.

Images come in unit values (H, W) or (H, W, C), label images as integers (H, W); pictures are uint8
RGB (H, W, 3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.files import printable, replacing

TRUTH_COLOUR = (255, 176, 0)
PREDICTION_COLOUR = (0, 190, 255)
ERROR_COLOURS = {
    "missed": (230, 30, 30),
    "extra": (255, 210, 0),
    "split": (235, 50, 235),
    "merged": (40, 215, 60),
}
"""Of objects that have no partner; see `metrics.object_errors`."""
_UNLABELLED_COLOUR = (112, 112, 112)
CAPTION_HEIGHT = 26
"""Of a panel, pixels above its pictures."""
_WEIGHTS_GAP, _WEIGHTS_CAPTION = 8, 28
# Told apart at a glance (Green-Armytage 2010, "A Colour Alphabet").
_PALETTE = np.array(
    [
        (0, 117, 220),
        (240, 163, 255),
        (43, 206, 72),
        (255, 164, 5),
        (255, 0, 16),
        (94, 241, 242),
        (255, 255, 128),
        (116, 10, 255),
        (157, 204, 0),
        (255, 80, 5),
        (0, 153, 143),
        (194, 0, 136),
    ],
    np.uint8,
)
_NEAR = 3  # pixels between objects whose colours differ
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
    """Give labels colours, background black, unlabelled pixels (below 0) grey.

    Labels that lie within three pixels of each other differ clearly; far from each other, two may
    have the same colour.

    Example:
        >>> color_labels(np.array([[0, 1]])).shape
        (1, 2, 3)
    """
    labels = np.asarray(labels, np.int64)
    found, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape)
    choice = _distinct(np.where(labels > 0, numbers, -1), len(found))
    colours = _PALETTE[choice[numbers]]
    colours[labels == 0] = 0
    colours[labels < 0] = _UNLABELLED_COLOUR
    return colours


def _distinct(numbers: np.ndarray, count: int) -> np.ndarray:
    """A colour of the palette for each number, another one than its neighbours have.

    Args:
        numbers: (H, W) from 0; -1 where there is nothing.
        count: of the numbers.
    """
    window = np.ones((2 * _NEAR + 1, 2 * _NEAR + 1), np.uint8)
    values = numbers.astype(np.float32)  # exact up to 2^24
    highest = cv2.dilate(values, window)
    lowest = cv2.erode(np.where(numbers < 0, np.float32(count), values), window)
    inside = numbers >= 0
    pairs = set()
    for other in (highest, lowest):
        near = np.asarray(other)[inside].astype(np.int64)
        pairs.update(np.unique(numbers[inside].astype(np.int64) * count + near).tolist())
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for code in pairs:
        first, second = divmod(code, count)
        if first == second:
            continue
        neighbours[first].append(second)
        neighbours[second].append(first)
    choice = np.full(count, -1)
    for number in range(count):
        taken = {int(choice[other]) for other in neighbours[number]}
        # From a place that moves on, so that the whole palette is used where a few would do.
        free = [(number + step) % len(_PALETTE) for step in range(len(_PALETTE))]
        choice[number] = next((colour for colour in free if colour not in taken), free[0])
    return choice


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


Caption = str | Sequence[tuple[str, tuple[int, int, int]]]
"""A text, or pieces of text with the colour of each."""


def panel(pictures: Sequence[tuple[Caption, np.ndarray]], *, gap: int = 6) -> np.ndarray:
    """Put pictures of one size side by side under their captions.

    Args:
        pictures: pairs of a caption and an RGB picture (H, W, 3), all of one size. A caption is a
            text, or pieces of text with the colour of each, which get a dark ground.
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
        _write(canvas[:CAPTION_HEIGHT, left : left + width], caption)
    return canvas


def _write(strip: np.ndarray, caption: Caption) -> None:
    pieces = [(caption, (40, 40, 40))] if isinstance(caption, str) else caption
    if not isinstance(caption, str):
        strip[:] = 40
    left, font = 4, cv2.FONT_HERSHEY_SIMPLEX
    scale = 0.5 if isinstance(caption, str) else 0.42
    for text, colour in pieces:
        cv2.putText(strip, text, (left, 18), font, scale, colour, 1, cv2.LINE_AA)
        left += cv2.getTextSize(text, font, scale, 1)[0][0] + 8


def result_panel(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Image, truth, prediction and the contours of both over the image, side by side.

    The truth is below 0 where it is unlabelled, which is shown in grey.

    Example:
        >>> result_panel(np.eye(8), np.eye(8, dtype=int), np.eye(8, dtype=int)).shape
        (34, 50, 3)
    """
    contours = overlay(image, prediction, truth, opacity=0.0)
    return _with_masks(image, truth, prediction, "truth (amber), prediction (blue)", contours)


def _with_masks(image, truth, prediction, caption: Caption, last: np.ndarray) -> np.ndarray:
    """Image, truth, prediction and a last picture side by side."""
    return panel(
        [
            ("image", to_rgb(image)),
            ("truth", mask_picture(truth)),
            ("prediction", mask_picture(prediction)),
            (caption, last),
        ]
    )


def instance_panel(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    errors: Mapping[str, np.ndarray],
    counts: Mapping[str, int],
) -> np.ndarray:
    """As `result_panel`, of instances: the last picture shows what is wrong in colours.

    Args:
        image: (H, W) or (H, W, C).
        truth: instance ids (H, W), below 0 where unlabelled.
        prediction: instance ids (H, W).
        errors: masks (H, W) by the names of `ERROR_COLOURS`.
        counts: how many objects each is.

    Example:
        >>> ids, none = np.eye(64, dtype=int), np.zeros((64, 64), bool)
        >>> errors = {name: none for name in ERROR_COLOURS}
        >>> instance_panel(np.eye(64), ids, ids, errors, dict.fromkeys(errors, 0)).shape
        (90, 274, 3)
    """
    picture = to_rgb(image).astype(np.float32)
    for name, mask in errors.items():
        picture[mask] = 0.5 * picture[mask] + 0.5 * np.array(ERROR_COLOURS[name], np.float32)
    picture[label_borders(truth)] = TRUTH_COLOUR
    picture[label_borders(prediction)] = PREDICTION_COLOUR
    caption = [(f"{counts[name]} {name}", colour) for name, colour in ERROR_COLOURS.items()]
    return _with_masks(image, truth, prediction, caption, picture.astype(np.uint8))


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
