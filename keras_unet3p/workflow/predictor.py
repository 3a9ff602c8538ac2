"""One way to ask for a mask, whatever the model is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import printable
from keras_unet3p.images import Normalization, Plane
from keras_unet3p.images.image_list import has_parts
from keras_unet3p.postprocessing import InstanceRule, MaskRule
from keras_unet3p.workflow.given_channels import with_channels

Image = TypeVar("Image", np.ndarray, Plane)


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model that segments images of any size; `open_model` makes one.

    Attributes:
        labels: takes an image (H, W, C) as it is stored, gives class ids (H, W), uint8.
        num_channels: C, or None where the other side does not say.
        num_classes: of the masks, 1 for foreground against background; None where unknown.
        normalization: how stored images become unit values, and what those of the training were
            like; `unit_values` where that is not known.
        mask_kind: of the masks in training, where known.
        class_values: the values in those masks that stand for the classes 0 to K-1; None where they
            are the class ids themselves, or unknown.
        ignore: the value of unlabelled pixels in those masks; None where there are none.
        separation: how far apart the masks in training drew touching instances, pixels; see
            `data.separate_instances`.
        rule: what follows the network in `labels` or `instances`, as far as it is known; of an
            endpoint the threshold of its model is not.
        probabilities: as `labels`, gives probabilities (H, W, K), float32; None where the other
            side is not asked for them. Of a network that tells instances apart, the maps (H, W, 2)
            of `targets.instance_maps`.
        instances: as `labels`, gives instance ids (H, W), int32, of a network that tells instances
            apart; None of another one. `labels` then gives 1 in all of them.
        test_time_augmentation: of how many mirrored and turned versions of a tile the maps are the
            mean; None where the other side does not say.
        averaged: the same model with another number of them; None where it has its own.
        stream: segments an image (H, W, C) that can be sliced and is too large to be taken as a
            whole: `stream(image, output, kind)` as `tiling.StreamingPredictor.predict` takes them.
            None where the other side cannot.
        reading: what of their files training read.
        class_names: of the classes, the background's first; empty where none were given.

    Example:
        >>> import numpy as np
        >>> is_bright = lambda image: (image[..., 0] > 0.5).astype("uint8")
        >>> bright = Predictor(is_bright, 1, unit_values(1))
        >>> bright.labels(np.array([[[0.2], [0.9]]]))
        array([[0, 1]], dtype=uint8)
    """

    labels: Callable[[np.ndarray], np.ndarray]
    num_channels: int | None
    normalization: Normalization
    num_classes: int | None = None
    mask_kind: str | None = None
    class_values: tuple[int, ...] | None = None
    ignore: int | None = None
    separation: int = 1
    rule: MaskRule | InstanceRule = dataclasses.field(default_factory=MaskRule)
    probabilities: Callable[[np.ndarray], np.ndarray] | None = None
    instances: Callable[[np.ndarray], np.ndarray] | None = None
    test_time_augmentation: int | None = None
    averaged: Callable[[int], Predictor] | None = None
    stream: Callable[..., None] | None = None
    reading: ReadingChoices = dataclasses.field(default_factory=ReadingChoices)
    class_names: tuple[str, ...] = ()

    def reading_of(
        self, images: str | os.PathLike[str], given: ReadingChoices | None
    ) -> ReadingChoices:
        """What of image files is read: what is given, and beyond that what training read.

        Args:
            images: a file or a folder; of plain pictures training's choices say nothing.
            given: what is asked for; None for nothing.
        """
        given = given or ReadingChoices()
        return given.over(self.reading) if has_parts(images) else given

    def with_its_channels(self, image: Image, file: str | os.PathLike[str]) -> Image:
        """The image; grey that is stored as a colour of equal parts becomes grey for a model of it.

        Args:
            image: (H, W, C), an array or a `Plane`.
            file: where it is from, for the error.

        Raises:
            ValueError: the model was trained on images of another number of channels.
        """
        return with_channels(image, printable(file), self.num_channels)


def unit_values(num_channels: int | None) -> Normalization:
    """The rule of a model that does not tell what its training images were like.

    Integers of 8 and 16 bits are divided by their type's maximum, floats must lie within [0, 1].

    Args:
        num_channels: of the images; None counts as 1.

    Example:
        >>> unit_values(3).value_scale
        'unit'
    """
    channels = num_channels or 1  # where the other side does not say, its images are grey
    return Normalization((0.0,) * channels, (1.0,) * channels, "unit")
