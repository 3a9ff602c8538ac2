"""Pictures as part of a page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.images import ImageFile
from keras_unet3p.images.pictures import CAPTION_HEIGHT

_WIDEST, _TALLEST = 1400, 700
_MOST_PNG_PIXELS = 2**17  # above, JPEG is much smaller
_MOST_PIXELS = 2**30  # that OpenCV decodes
_QUALITY = 82


class EmbeddedPicture(NamedTuple):
    """A picture as a data URI, with the size at which it is stored."""

    uri: str
    width: int
    height: int


def embedded_panel(path: Path) -> EmbeddedPicture | None:
    """A picture that `images.pictures.result_panel` made, without its captions, made smaller.

    Returns:
        The picture, at most 1400 pixels wide and 700 tall; None where the file is missing or too
        large to be read.
    """
    try:
        panel = ImageFile(path, max_pixels=_MOST_PIXELS).stored(0)[CAPTION_HEIGHT:]
    except (InputError, OSError, MemoryError):
        return None
    height, width = panel.shape[:2]
    scale = min(1.0, _WIDEST / width, _TALLEST / height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    if scale < 1:
        panel = cv2.resize(panel, size, interpolation=cv2.INTER_AREA)
    is_small = size[0] * size[1] <= _MOST_PNG_PIXELS
    kind, options = ("png", []) if is_small else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    picture = np.ascontiguousarray(panel.reshape(*panel.shape[:2], -1)[..., ::-1])
    encoded = cv2.imencode(f".{kind}", picture, options)[1].tobytes()
    return EmbeddedPicture(f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}", *size)
