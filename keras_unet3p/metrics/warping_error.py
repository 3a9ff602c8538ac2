"""Warping error."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.metrics.simple_points import NEIGHBOURS, simple_points
from keras_unet3p.postprocessing.class_ids import is_foreground


class WarpingError(NamedTuple):
    """Share of pixels that still differ, and the warped truth (H, W) bool."""

    error: float
    warped: np.ndarray


def warping_error(
    truth, prediction, *, threshold: float = 0.5, foreground_connectivity: int = 4
) -> WarpingError:
    """Topological errors of a segmentation (Jain et al. 2010), as in the ISBI-2012 challenge.

    The truth is warped onto the prediction: pixels where they differ are flipped as long as they
    are simple points, so that its topology stays. What differs in the end counts, per pixel of the
    image: merged and split objects, and objects and holes that only one of the two has. A boundary
    that is only displaced costs nothing.

    Conventions are those of the challenge's implementation in Fiji: foreground (cells) is
    4-connected and background (membranes) 8-connected, the image lies on background, and the
    pixels to flip are visited in passes until nothing changes, those first in which the prediction
    is surest, then column by column. Where the topologies differ, which pixels remain depends on
    that order; that some do, does not.

    Args:
      truth: (H, W) binary mask, foreground where it is above 0.
      prediction: (H, W) binary mask, or probabilities of the foreground.
      threshold: The prediction is foreground from it on.
      foreground_connectivity: 4 or 8; the background has the other one.
    Raises:
      ValueError: For shapes that are not (H, W) or differ, NaN, or an unknown connectivity.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 2 or truth.shape != prediction.shape:
        raise InputError(
            "truth and prediction must be (height, width) of one size; "
            f"received {truth.shape} and {prediction.shape}."
        )
    if np.isnan(truth).any() or np.isnan(prediction).any():
        raise InputError("truth and prediction must hold numbers; received NaN.")
    simple = simple_points(foreground_connectivity).tobytes()
    sureness = np.abs(prediction.astype(np.float64) - threshold)
    target = np.pad(is_foreground(prediction, threshold), 1)
    source = np.pad(truth > 0, 1)
    width = source.shape[1]
    steps = [row * width + column for row, column in NEIGHBOURS]

    columns, rows = np.nonzero((source != target)[1:-1, 1:-1].T)
    order = np.argsort(-sureness[rows, columns], kind="stable")
    places = ((rows[order] + 1) * width + columns[order] + 1).tolist()
    ranks = {place: rank for rank, place in enumerate(places)}
    values = bytearray(source.astype(np.uint8).tobytes())
    frozen = bytearray(len(values))  # 1 where a pixel has been given its final value.

    # A pixel's verdict can change only when a neighbour is flipped; so each pass visits, in order,
    # those beside flipped ones instead of all.
    current = list(range(len(places)))
    while current:
        following = set()
        queued = set(current)
        while current:
            rank = heapq.heappop(current)
            queued.discard(rank)
            place = places[rank]
            if frozen[place]:
                continue
            code = 0
            for bit, step in enumerate(steps):
                code |= values[place + step] << bit
            if not simple[code]:
                continue
            values[place] ^= 1
            frozen[place] = 1
            for step in steps:
                other = ranks.get(place + step)
                if other is None or frozen[place + step]:
                    continue
                if other < rank:
                    following.add(other)
                elif other not in queued:
                    heapq.heappush(current, other)
                    queued.add(other)
        current = sorted(following)

    warped = np.frombuffer(bytes(values), np.uint8).reshape(source.shape)[1:-1, 1:-1] > 0
    return WarpingError(float(np.mean(warped != target[1:-1, 1:-1])), warped)
