"""What a user asks for, and what comes of it."""

from __future__ import annotations

import dataclasses
import tempfile
from typing import Any

import numpy as np

from keras_unet3p.napari_plugin.layer_region import LayerRegion


@dataclasses.dataclass(frozen=True)
class SegmentationRequest:
    """What a user asks for.

    Attributes:
        model: see `workflow.open_model`.
        region: the pixels.
        pixel_size: side of a pixel, micrometres, where it is known.
        separate: see `OpenedModel.segment`.
        accept_values: see `images.check_values`.
    """

    model: str
    region: LayerRegion
    pixel_size: float | None = None
    separate: bool = False
    accept_values: bool = False


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """A result: labels of the region's shape, and a row for each of them.

    Attributes:
        labels: ids of instances, which differ between planes, or of classes.
        features: the rows; `index` is the label, and `plane` its place on the other axes, if the
            region has several planes.
        folder: keeps the file of labels that do not lie in memory.
    """

    labels: np.ndarray
    features: list[dict[str, Any]]
    folder: tempfile.TemporaryDirectory | None = None
