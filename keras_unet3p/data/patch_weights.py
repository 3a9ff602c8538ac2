"""Weight maps of the patches of opened images, for training and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from keras_unet3p.data.border_weights import border_weight_map
from keras_unet3p.data.labeled_images import LabeledImages
from keras_unet3p.data.unlabeled import without_ignored
from keras_unet3p.errors import InputError


def class_balance(images: LabeledImages) -> list[float]:
    """One weight per class, from its share of the labelled pixels; their mean over these is 1.

    What the `border_weights` of `training_pipeline` balance with. A validation that is to be
    compared with a training takes the training's.

    Example:
        >>> images, labels = zip(*(ku.data.generate_cells(32, seed=seed) for seed in range(2)))
        >>> opened = ku.data.open_images(images, labels)
        >>> len(class_balance(opened))
        2
    """
    frequencies = images.class_frequencies
    present = frequencies > 0
    weights = np.ones(len(frequencies))
    weights[present] = 1.0 / (np.count_nonzero(present) * frequencies[present])
    return weights.tolist()


class PatchWeights:
    """Labels (H, W) and mask (H, W) of a patch -> weights (H, W) float32.

    Unlabelled pixels weigh 0, and the border weights take them for background.

    Args:
        images: the images.
        border_weights: arguments of `border_weight_map`, but for `instances`, and `class_balance`:
            True (those of the images), False, or one weight per class.

    Raises:
        ValueError: an argument is not accepted.
    """

    def __init__(self, images: LabeledImages, border_weights: Mapping[str, Any]) -> None:
        if "instances" in border_weights:
            raise InputError(
                "border_weights holds 'instances'; expected it left out: the masks, "
                f"{images.mask_kind}, decide"
            )
        self._mask_kind = images.mask_kind
        self._options = dict(border_weights)
        self._class_weights = _class_weights(images, self._options.pop("class_balance", True))
        border_weight_map(np.zeros((1, 1), np.int32), **self._options)  # are they accepted?

    def __call__(self, labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
        cells = without_ignored(labels)
        if self._mask_kind == "classes":
            cells = _components_of_classes(cells)
        # Said, not guessed: a patch may hold pieces of a single instance.
        weights = border_weight_map(
            cells,
            class_balance=False,
            instances=self._mask_kind != "binary",
            **self._options,
        )
        weights += self._class_weights[without_ignored(mask)] - np.float32(1.0)
        weights[mask < 0] = 0.0
        return weights


def _class_weights(images: LabeledImages, given) -> np.ndarray:
    if given is True:
        return np.asarray(class_balance(images), np.float32)
    count = len(images.class_frequencies)
    if given is False:
        return np.ones(count, np.float32)
    weights = np.asarray(given, np.float32)
    if weights.shape != (count,) or not (weights >= 0).all():
        raise InputError(
            f"class_balance is {given!r}; expected True, False, or {count} weights of at least 0"
        )
    return weights


def _components_of_classes(labels: np.ndarray) -> np.ndarray:
    cells = np.zeros(labels.shape, np.int32)
    count = 0
    for value in np.flatnonzero(np.bincount(labels.ravel())):
        if value == 0:
            continue
        found, components = cv2.connectedComponents(
            (labels == value).astype(np.uint8), connectivity=8
        )
        cells += np.where(components > 0, components + count, 0)
        count += found - 1
    return cells
