"""What is readable and yet looks wrong with a set of images and masks."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import cv2
import numpy as np

from keras_unet3p.data.labeled_images import LabeledImages
from keras_unet3p.images import label_borders

_MOST_LOOKED_AT = 200
"""Images that are looked at, spread over the set; each is decoded for it."""
_FEW_VALUES, _MANY_CLASSES = 8, 64
_SHIFTS = (4, 8, 16)  # pixels
_MUCH_BETTER = 1.4
"""How much steeper the image must be along the borders of the shifted mask than along its own. Of
three real sets no mask was so; of nuclei's masks moved by 6 to 12 pixels nine in ten were."""
_BLURRED = 0.05  # sharpness over the median one


class Suspicion(NamedTuple):
    """Something that looks wrong.

    Attributes:
        kind: what it is.
        text: a sentence.
        names: of the images concerned.
        is_error: whether nothing can be learnt from the set so.

    Example:
        >>> Suspicion("one value", "all masks are background", [], is_error=True).kind
        'one value'
    """

    kind: Literal[
        "swapped", "one value", "empty image", "blurred", "duplicate", "shifted", "empty mask"
    ]
    text: str
    names: list[str]
    is_error: bool = False


def find_suspicions(opened: LabeledImages) -> list[Suspicion]:
    """Look for what `open_images` cannot refuse, since each file by itself is acceptable.

    Up to 200 images are looked at. Found are: images and masks swapped; masks of one value
    altogether; images of one grey value; images far less sharp than the others; the same pixels
    under two names; masks whose borders do not lie where the image changes, but would a few pixels
    to a side; and, which may well be meant, masks without foreground.

    Args:
        opened: the set.

    Example:
        >>> images = [np.full((32, 32), value, np.uint8) for value in (3, 3)]
        >>> masks = [np.eye(32, dtype=np.uint8)] * 2
        >>> [found.kind for found in find_suspicions(ku.data.open_images(images, masks))]
        ['empty image', 'duplicate']
    """
    places = np.linspace(0, len(opened) - 1, min(len(opened), _MOST_LOOKED_AT)).round()
    looks = [_look(opened, int(place)) for place in places]
    found = [_swapped(opened, looks), _one_value(opened)]
    if not any(found):
        found += [
            _of_each("empty image", "every pixel has the same value", looks, "is_flat"),
            _blurred(looks),
            _duplicates(looks),
            _of_each("shifted", "the mask's borders fit better a few pixels away", looks, "shift"),
            _of_each("empty mask", "no foreground, which may be meant", looks, "is_empty"),
        ]
    return [suspicion for suspicion in found if suspicion is not None]


class _Look(NamedTuple):
    """What one image and its mask are like."""

    name: str
    digest: str
    few_values: bool
    is_flat: bool
    is_empty: bool
    sharpness: float
    shift: bool


def _look(opened: LabeledImages, place: int) -> _Look:
    image, labels = opened.stored(place)
    grey = image.astype(np.float32).mean(axis=-1)
    spread = float(grey.std())
    sharpness = 0.0
    if spread > 0:
        sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).std()) / spread
    return _Look(
        name=opened.names[place],
        digest=hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest(),
        few_values=len(np.unique(image)) <= _FEW_VALUES,
        is_flat=spread == 0,
        is_empty=not (labels > 0).any(),
        sharpness=sharpness,
        shift=spread > 0 and _fits_elsewhere(grey, labels),
    )


def _fits_elsewhere(grey: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the image changes more along the borders of the mask moved a few pixels away."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    steepness = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    border = label_borders(np.maximum(labels, 0)).astype(np.float32)
    height, width = grey.shape
    reach = max(_SHIFTS)
    if min(height, width) <= 4 * reach or not border.any():
        return False
    # The same part of the mask for every shift, so that none leaves the image.
    inner = border[reach : height - reach, reach : width - reach]
    pixels = float(inner.sum())
    if not pixels:
        return False

    def along(down: int, across: int) -> float:
        rows = slice(reach + down, height - reach + down)
        columns = slice(reach + across, width - reach + across)
        return float((steepness[rows, columns] * inner).sum()) / pixels

    here = along(0, 0)
    ways = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across]
    moved = [along(step * down, step * across) for step in _SHIFTS for down, across in ways]
    return max(moved) > _MUCH_BETTER * here


def _swapped(opened: LabeledImages, looks: list[_Look]) -> Suspicion | None:
    many = opened.mask_kind == "classes" and opened.num_classes >= _MANY_CLASSES
    if not many or sum(look.few_values for look in looks) < 0.9 * len(looks):
        return None
    return Suspicion(
        "swapped",
        f"the images hold a few values each and the masks {opened.num_classes}: images and masks "
        "look swapped",
        [],
        is_error=True,
    )


def _one_value(opened: LabeledImages) -> Suspicion | None:
    only = np.flatnonzero(opened.class_frequencies == 1.0)
    if not len(only):
        return None
    what = ("background", "foreground")[only[0]] if only[0] < 2 else f"class {only[0]}"
    return Suspicion("one value", f"every labelled pixel of the masks is {what}", [], is_error=True)


def _of_each(kind, text: str, looks: list[_Look], name: str) -> Suspicion | None:
    names = [look.name for look in looks if getattr(look, name)]
    return Suspicion(kind, text, names) if names else None


def _blurred(looks: list[_Look]) -> Suspicion | None:
    median = float(np.median([look.sharpness for look in looks]))
    names = [look.name for look in looks if not look.is_flat and look.sharpness < _BLURRED * median]
    if not names:
        return None
    return Suspicion("blurred", "far less sharp than the others: out of focus?", names)


def _duplicates(looks: list[_Look]) -> Suspicion | None:
    by_digest: dict[str, list[str]] = {}
    for look in looks:
        by_digest.setdefault(look.digest, []).append(look.name)
    names = [name for names in by_digest.values() if len(names) > 1 for name in names]
    if not names:
        return None
    return Suspicion("duplicate", "the same pixels under several names", names)
