"""One way to ask for a mask, whatever the model is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_unet3p.images import Normalization
from keras_unet3p.postprocessing import InstanceRule, MaskRule


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
