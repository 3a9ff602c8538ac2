"""Whether an image has the channels that a model takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_unet3p.errors import InputError


def with_channels(image: Any, name: str, expected: int | None) -> Any:
    """The image; grey that is stored as a colour of equal parts becomes grey for a model of it.

    Args:
        image: (H, W, C), an array or a `Plane`, which is not looked into.
        name: of the image, for messages.
        expected: the model's channels; None where it does not say.

    Raises:
        ValueError: it has other channels.

    Example:
        >>> with_channels(np.zeros((4, 5, 3)), "a.png", 1).shape
        (4, 5, 1)
    """
    found = image.shape[-1]
    if expected is None or found == expected:
        return image
    is_grey = isinstance(image, np.ndarray) and expected == 1 and found in (3, 4)
    if is_grey and (image[..., :3] == image[..., :1]).all():
        return image[..., :1]
    raise InputError(
        f"{name}: {found} channels; the model was trained on images of {expected}"
        + (" (grey stored as a colour would do, and this is none)" if expected == 1 else "")
    )
