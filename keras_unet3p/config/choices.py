"""What may be chosen in a training run: a line here makes an architecture or a loss reachable."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_ENCODER_OPTIONS = frozenset({"filters", "encoder", "encoder_weights", "batch_norm_synchronized"})
_UNET_OPTIONS = _ENCODER_OPTIONS | {"depth"}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """An architecture as the configuration sees it; its name is its builder's in `models`.

    Attributes:
        options: the network options of `TrainingConfig` that the builder has.
        encoder: the builder's own encoder.
        training: what a training run chooses where nothing is given, because it trains better so;
            nothing that changes the network which is trained.

    Example:
        >>> ku.config.ARCHITECTURES["fcn"].encoder
        'vgg16'
    """

    options: frozenset[str]
    encoder: str = "plain"
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "unet3plus": Architecture(
            _UNET_OPTIONS | {"deep_supervision", "classification_guided"},
            training={"deep_supervision": True},
        ),
        "unet": Architecture(_UNET_OPTIONS | {"padding", "batch_norm"}),
        "unetplusplus": Architecture(
            _UNET_OPTIONS | {"batch_norm", "deep_supervision"},
            training={"deep_supervision": True},
        ),
        "attention_unet": Architecture(_UNET_OPTIONS | {"batch_norm"}),
        "fcn": Architecture(_ENCODER_OPTIONS, encoder="vgg16"),
    }
)

LOSSES: Mapping[str, str] = MappingProxyType(
    {
        "hybrid": "HybridLoss",
        "weighted_cross_entropy": "WeightedCrossEntropy",
        "focal": "Focal",
        "dice": "Dice",
        "iou": "IoU",
        "ms_ssim": "MSSSIM",
        "tversky": "Tversky",
        "cl_dice": "ClDice",
    }
)
"""Name in the configuration -> class in `keras_unet3p.losses`."""

INSTANCES = ("gaps", "distance")
"""How touching instances are told apart: background drawn between them, or a map of the distance to
the outline from which a seeded watershed grows."""

ENCODERS = (
    "plain",
    "vgg16",
    "vgg19",
    "resnet50",
    "resnet101",
    "efficientnet_v2_s",
    "efficientnet_v2_b0",
    "mobilenet_v2",
    "convnext_tiny",
)
"""`models.ENCODERS`, whose import takes seconds."""

PADDINGS = ("same", "valid")
NORMALIZATIONS = ("auto", "set", "image")
PERCENTILES = (1.0, 99.8)
"""Those of each image that become 0 and 1 with the normalization "image"."""
CONTRAST_SPREAD = 2.0
"""From this on (90 over 10 percentile of the images' contrasts) "auto" is "image"."""
STRATEGIES = ("auto", "mirrored", "multi_worker", "default")
POLICIES = ("mixed_float16", "mixed_bfloat16")
MASK_KINDS = ("auto", "binary", "classes", "instances")

MEASURES: Mapping[str, str] = MappingProxyType(
    {"dice": "Dice", "seg": "SEG", "ap": "AP (IoU 0.5 to 0.9)", "rand": "1 - Rand error"}
)
"""Name in the configuration -> name for people, of what follows the network is chosen by."""
MEASURES_OF_OBJECTS = ("seg", "ap", "rand")

MAX_PIXELS = 2**28
"""Of an image that is read, by default."""
MAX_PAGES = 10_000
"""Images in a file that is read, by default."""
