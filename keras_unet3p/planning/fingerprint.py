"""What a set of images and masks is like, as far as a plan depends on it."""

from __future__ import annotations

import math
from typing import ClassVar

import cv2
import numpy as np

from keras_unet3p.artifacts.json_artifact import JsonArtifact
from keras_unet3p.data import LabeledImages, separate_instances
from keras_unet3p.postprocessing import connected_regions

_MOST_IMAGES = 32  # that are looked at
_SKETCH = 16  # pixels a side of what neighbouring images are compared by
_FEWEST_TO_COMPARE = 6


class Fingerprint(JsonArtifact):
    """Sizes, intensities and objects of a data set; `of` looks at up to 32 of its images.

    Example:
        >>> cells = [ku.data.generate_cells(64, seed=seed) for seed in range(2)]
        >>> opened = ku.data.open_images(*zip(*cells))
        >>> found = Fingerprint.of(opened)
        >>> found.images, found.mask_kind, found.median_side
        (2, 'instances', 64)
    """

    WAY_OUT: ClassVar[str] = "make it again from the images"

    images: int
    """Number of images."""
    channels: int
    """Of an image."""
    mask_kind: str
    """Of the masks: binary, classes or instances."""
    num_classes: int
    """Of the masks, 1 for foreground against background."""
    median_side: int
    """Square root of the median number of pixels of an image."""
    total_pixels: int
    """Of all images."""
    labeled_share: float
    """Of the pixels."""
    foreground_share: float
    """Of the labelled pixels."""
    contrast_spread: float
    """90 over 10 percentile of the images' contrasts."""
    neighbours_alike: float
    """How much more alike neighbouring images are than distant ones, difference of correlations;
    0 for fewer than 6 images or sizes that differ."""
    objects_per_image: float | None
    """Of instances, or of the pieces of the foreground; None of classes."""
    object_radius: float | None
    """Median over the objects of the radius of the circle with their area, pixels; None without."""
    touching_share: float | None
    """Share of the instances that touch another one; None of other masks."""
    bytes_per_pixel: float | None = None
    """Of the decoded images with their masks; None in files of earlier versions."""

    @classmethod
    def of(cls, opened: LabeledImages) -> Fingerprint:
        """Of opened images."""
        sides = [math.sqrt(height * width) for height, width in opened.shapes]
        places = np.linspace(0, len(opened) - 1, min(_MOST_IMAGES, len(opened))).round().astype(int)
        areas: list[np.ndarray] = []
        touching = 0
        decoded: list[float] = []
        for place in places.tolist():
            image, stored = opened.stored(place)
            decoded.append((image.nbytes + stored.nbytes) / max(stored.size, 1))
            labels = np.maximum(stored, 0)
            if opened.mask_kind == "classes":
                continue
            ids = labels if opened.mask_kind == "instances" else connected_regions(labels)[0]
            sizes = np.bincount(ids.ravel())[1:]
            areas.append(sizes[sizes > 0])
            if opened.mask_kind == "instances":
                touching += _touching(ids)
        every = np.concatenate(areas) if areas else np.zeros(0)
        of_objects = opened.mask_kind != "classes"
        frequencies = opened.class_frequencies
        return cls(
            images=len(opened),
            channels=opened.num_channels,
            mask_kind=opened.mask_kind,
            num_classes=opened.num_classes,
            median_side=round(float(np.median(sides))),
            total_pixels=sum(height * width for height, width in opened.shapes),
            labeled_share=_rounded(opened.labeled_share),
            foreground_share=_rounded(1.0 - frequencies[0]),
            contrast_spread=_rounded(opened.contrast_spread),
            neighbours_alike=_rounded(_neighbours_alike(opened)),
            objects_per_image=_rounded(len(every) / len(places)) if of_objects else None,
            object_radius=_rounded(math.sqrt(np.median(every) / math.pi)) if len(every) else None,
            touching_share=_rounded(touching / max(len(every), 1))
            if opened.mask_kind == "instances"
            else None,
            bytes_per_pixel=_rounded(float(np.mean(decoded))),
        )


def _rounded(value: float) -> float:
    return float(f"{float(value):.4g}")


def _touching(ids: np.ndarray) -> int:
    """How many instances have another one among their 8-neighbours."""
    return len(np.unique(ids[(ids > 0) & ~separate_instances(ids)]))


def _neighbours_alike(opened: LabeledImages) -> float:
    if len(opened) < _FEWEST_TO_COMPARE or len(set(opened.shapes)) > 1:
        return 0.0
    places = range(min(len(opened), 2 * _MOST_IMAGES))
    sketches = []
    for place in places:
        image = opened.stored(place)[0].astype(np.float32).mean(-1)
        sketch = cv2.resize(image, (_SKETCH, _SKETCH), interpolation=cv2.INTER_AREA).ravel()
        sketch -= sketch.mean()
        sketches.append(sketch / max(float(np.linalg.norm(sketch)), 1e-6))
    values = np.stack(sketches)
    half = len(values) // 2
    near = np.sum(values[1:] * values[:-1], axis=1).mean()
    far = np.sum(values[half:] * values[: len(values) - half], axis=1).mean()
    return max(float(near - far), 0.0)
