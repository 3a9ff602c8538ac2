"""Tells in the log when a model's images no longer are what it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from keras_unet3p.images.drift import DriftMonitor

_LOG = logging.getLogger(__name__)
_IDS = {"class_ids": False, "mask_bytes": False, "instance_ids": True, "instance_bytes": True}


class DriftWatch:
    """Compares what a version is sent, and what it answers, with its model card.

    Args:
        folder: of the version. Without a card, or one of a training, nothing is compared.
        name: of the model, for the log.
        version: its number, for the log.
    """

    def __init__(self, folder: Path, name: str, version: int) -> None:
        self._model = f"{name} version {version}"
        self._monitor = DriftMonitor()
        if (folder / "assets.extra" / "model_card.json").is_file():
            try:
                self._monitor = DriftMonitor.of_card(folder)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                _LOG.warning("%s: drift is not watched: %s", self._model, error)

    def see(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        """Count the images of a request, and the masks of its answer, in."""
        images = inputs.get("image_bytes", inputs.get("image"))
        if images is None or not self._monitor.quantities:
            return
        name = next((name for name in _IDS if name in outputs), None)
        masks = [None] * len(images) if name is None else outputs[name]
        for image, mask in zip(images, masks, strict=True):
            try:
                ids = _decoded(mask)
                if ids is not None and ids.ndim != 2:
                    ids = None
                found = self._monitor.see(
                    _decoded(image), ids, instances=_IDS.get(name or "", False)
                )
            except (ValueError, cv2.error):
                continue  # what cannot be measured has its answer all the same
            for drift in found:
                _LOG.warning("%s: drift: %s", self._model, drift)


def _decoded(pixels: np.ndarray | bytes | None) -> np.ndarray | None:
    if not isinstance(pixels, bytes):
        return pixels
    return cv2.imdecode(np.frombuffer(pixels, np.uint8), cv2.IMREAD_UNCHANGED)
