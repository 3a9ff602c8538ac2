"""Segmenting a region of a layer: what the process of the models does."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.napari_plugin.object_features import features_by_strips, object_features
from keras_unet3p.napari_plugin.opened_model import OpenedModel
from keras_unet3p.napari_plugin.segmentation_request import Segmentation, SegmentationRequest

MOST_AT_ONCE = 1 << 24
"""Pixels of a plane that is segmented in memory; larger ones are segmented window by window."""
Report = Callable[[int, int], object]


def segment_region(
    request: SegmentationRequest,
    report: Report = lambda done, total: None,
    *,
    opened: Callable[[str], OpenedModel] = OpenedModel,
    most_at_once: int = MOST_AT_ONCE,
    file: Path | None = None,
) -> Segmentation:
    """Segment the planes of a region, one after another.

    Args:
        request: what is asked for.
        report: called with how much is done, and how much there is. What it raises ends the work.
        opened: opens the model.
        most_at_once: pixels of a plane; see `MOST_AT_ONCE`.
        file: a .npy file that is made for the labels, instead of an array in memory.

    Raises:
        ValueError: the model cannot be opened, or the image does not fit it.

    Example:
        >>> from keras_unet3p.napari_plugin.layer_region import LayerRegion
        >>> region = LayerRegion(
        ...     np.zeros((64, 80), np.uint8), (0, 0), (64, 80), (0, 1), (1.0, 1.0), "cells"
        ... )
        >>> found = segment_region(SegmentationRequest("nuclei", region))
        >>> found.labels.shape, found.features
        ((64, 80), [])
    """
    region = request.region
    report(0, 0)
    model = opened(request.model)
    if model.predictor.num_channels == 3:
        region = region.without_opacity()
    is_large = math.prod(region.size) > most_at_once
    if is_large and request.separate and not model.gives_instances:
        raise InputError(
            f"layer {region.name}: {math.prod(region.size):,} pixels are segmented window by "
            "window, and then the pieces of a mask are not numbered; take the current view, or a "
            "model that tells instances apart"
        )
    numbers_pieces = model.gives_instances or request.separate
    dtype = np.dtype(np.int32 if numbers_pieces else np.uint8)
    if file is None:
        labels = np.zeros(region.shape, dtype)
    else:
        labels = np.lib.format.open_memmap(file, "w+", dtype, region.shape)
    planes = list(region.planes())
    features: list[dict[str, Any]] = []
    numbered = 0  # by the planes before
    placing = {"corner": region.corner, "pixel_size": request.pixel_size}
    # A part of an image may be darker than any image, and one larger than memory is not measured.
    if not region.is_part and not is_large:
        of_planes = [plane for _, plane in planes]
        model.check(of_planes, region.name, accept_values=request.accept_values)
    for done, (place, plane) in enumerate(planes):
        target = region.plane_of(labels, place)
        if is_large:
            steps = _Steps(report, done, len(planes))
            model.stream(plane, target, region.name, steps)
            rows = features_by_strips(target, are_classes=not numbers_pieces, **placing)
        else:
            report(done, len(planes))
            image = plane[:, :]
            found = model.segment(image, region.name, separate=request.separate)
            target[...] = found.labels
            rows = object_features(
                found.labels,
                image,
                classes=found.classes,
                probability=found.probability,
                **placing,
            )
        if numbers_pieces and numbered:
            _raise_ids(target, numbered)
            for row in rows:
                row["index"] += numbered
        if numbers_pieces:
            numbered = max((row["index"] for row in rows), default=numbered)
        if len(planes) > 1:
            rows = [{"plane": ", ".join(map(str, place)), **row} for row in rows]
        features += rows
    report(len(planes), len(planes))
    return Segmentation(labels, features)


class _Steps:
    """The tiles of one of several planes as a share of all; in thousandths."""

    def __init__(self, report: Report, plane: int, planes: int) -> None:
        self._report, self._plane, self._planes = report, plane, planes

    def __call__(self, done: int, total: int) -> None:
        share = (self._plane + done / max(total, 1)) / self._planes
        self._report(int(1000 * share), 1000)


def _raise_ids(plane: np.ndarray, by: int, rows: int = 1024) -> None:
    for top in range(0, plane.shape[0], rows):
        strip = plane[top : top + rows]
        strip[strip > 0] += by
