"""How far an endpoint's answers are from the right ones."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_unet3p.artifacts.golden_pairs import GoldenPair
from keras_unet3p.client.sent_images import decode_mask


@dataclasses.dataclass(frozen=True)
class GoldenDifference:
    """What an answer differs in from the right one.

    Attributes:
        signature: that was asked.
        pixels: share of the pixels, 0 to 1: of class ids those that differ, of instance ids those
            that belong to another instance, whatever its number; None of probabilities.
        probability: the largest difference of a probability; None of ids.
        problem: why there is nothing to be compared; None where there is.

    Example:
        >>> GoldenDifference("classes", pixels=0.002).is_within(0.001, pixels=0.001)
        False
    """

    signature: str
    pixels: float | None = None
    probability: float | None = None
    problem: str | None = None

    def is_within(self, probability: float, pixels: float) -> bool:
        """Whether the difference is at most that."""
        return (
            self.problem is None
            and (self.pixels or 0.0) <= pixels
            and not (self.probability or 0.0) > probability
            and not np.isnan(self.probability or 0.0)
        )


def golden_difference(pair: GoldenPair, found: np.ndarray) -> GoldenDifference:
    """Compare an answer with the right one.

    Example:
        >>> pair = GoldenPair("classes", "image", "class_ids", np.zeros(1), np.zeros((1, 2, 2)))
        >>> golden_difference(pair, np.array([[[0, 0], [0, 1]]])).pixels
        0.25
    """
    right, found = _decoded(pair.output), _decoded(np.asarray(found))
    if right.shape != found.shape:
        problem = f"an answer of shape {found.shape}; expected {right.shape}"
        return GoldenDifference(pair.signature, problem=problem)
    if right.dtype.kind == "f" and pair.output_name not in _IDS:
        largest = float(np.max(np.abs(right - found), initial=0.0))
        return GoldenDifference(pair.signature, probability=largest)
    if pair.output_name == "probability_bytes":
        # In steps of 1/255; a neighbouring one is what rounding makes of no difference at all.
        steps = np.abs(right.astype(np.int32) - found).max(initial=0)
        return GoldenDifference(pair.signature, probability=float(max(steps - 1, 0)) / 255.0)
    if pair.output_name.startswith("instance"):
        return GoldenDifference(pair.signature, pixels=_moved(right, found))
    return GoldenDifference(pair.signature, pixels=float(np.mean(right != found)))


_IDS = ("class_ids", "instance_ids")


def _decoded(answer: np.ndarray) -> np.ndarray:
    """Encoded maps as pixels; a compressor of another version writes other bytes."""
    if answer.dtype != object:
        return answer
    maps = np.stack([decode_mask(encoded) for encoded in answer.ravel()])
    return maps.reshape(answer.shape + maps.shape[1:])


def _moved(right: np.ndarray, found: np.ndarray) -> float:
    """Share of the pixels that are not of the instance that most of their instance are of."""
    pairs = np.stack([right.ravel(), found.ravel()]).astype(np.int64)
    (ours, theirs), counts = np.unique(pairs, axis=1, return_counts=True)
    shares = []
    for ids, others in ((ours, theirs), (theirs, ours)):
        # Background stays background: instances must not vanish into it.
        counted = np.where((ids == 0) == (others == 0), counts, 0)
        kept = np.zeros(ids.max() + 1, np.int64)
        np.maximum.at(kept, ids, counted)
        shares.append(1.0 - kept.sum() / right.size)
    return float(max(shares))
