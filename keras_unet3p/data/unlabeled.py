"""Pixels that nobody has labelled: what they are in labels and masks."""

from __future__ import annotations

import numpy as np

from keras_unet3p.config import INSTANCES
from keras_unet3p.data.separation import separate_instances
from keras_unet3p.errors import InputError

IGNORED = -1
"""The label of unlabelled pixels, whatever their value in the file: no class or instance has it."""
_LARGEST = np.iinfo(np.int32).max


def check_ignore(ignore: int | None, values: tuple[int, ...] | None) -> None:
    """Raises a ValueError unless `ignore` may stand for unlabelled pixels beside these classes."""
    if ignore is None:
        return
    if (
        isinstance(ignore, bool)
        or not isinstance(ignore, int | np.integer)
        or not 0 <= ignore <= _LARGEST
    ):
        raise InputError(
            f"ignore is {ignore!r}; expected the mask value of the unlabelled pixels, a whole "
            "number of at least 0"
        )
    if values is not None and ignore in values:
        raise InputError(
            f"ignore is {ignore}, which classes = {list(values)} names as a class; expected the "
            "value of the unlabelled pixels alone"
        )
    if values is None and ignore == 0:
        raise InputError(
            "ignore is 0, the background; where 0 stands for unlabelled pixels, give the values "
            "of background and classes, such as classes=[1, 2] (--classes 1,2)"
        )


def marked(labels: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Labels with `IGNORED` on the ignored pixels, in a small signed type."""
    kind = np.int16 if labels.max(initial=0) <= np.iinfo(np.int16).max else np.int32
    result = labels.astype(kind)
    result[ignored] = IGNORED
    return result


def without_ignored(labels: np.ndarray) -> np.ndarray:
    """Labels with background on the ignored pixels."""
    return np.maximum(labels, 0) if labels.dtype.kind == "i" else labels


def check_instances(instances: str, mask_kind: str) -> None:
    """Raises a ValueError unless these masks have what is to be learnt of instances."""
    if instances not in INSTANCES:
        raise InputError(f"instances must be one of {list(INSTANCES)}, found {instances!r}")
    if instances == "distance" and mask_kind != "instances":
        raise InputError(
            f"instances is 'distance', and the masks are {mask_kind}; expected masks of instances"
        )


def target_mask(labels: np.ndarray, mask_kind: str, separation: int) -> np.ndarray:
    """What a network learns of labels (H, W): int32, `IGNORED` where they are unlabelled.

    Instances become 1, but for the gaps of `separation` between them. An unlabelled pixel is no
    neighbour: no gap is drawn towards it.
    """
    if mask_kind != "instances":
        return labels.astype(np.int32)
    mask = separate_instances(labels, separation).astype(np.int32)
    mask[labels < 0] = IGNORED
    return mask
