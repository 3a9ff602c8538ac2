"""Whether an image has the channels that a model takes."""

from __future__ import annotations

import numpy as np

from keras_unet3p.errors import InputError


def with_channels(image: np.ndarray, name: str, expected: int | None) -> np.ndarray:
    """The image; grey that is stored as a colour of equal parts becomes grey for a model of it.

    Args:
        image: (H, W, C).
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
    if expected == 1 and found in (3, 4) and (image[..., :3] == image[..., :1]).all():
        return image[..., :1]
    raise InputError(
        f"{name}: {found} channels; the model was trained on images of {expected}"
        + (" (grey stored as a colour would do, and this is none)" if expected == 1 else "")
    )
