"""The registry of architectures: a new one takes a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from keras_unet3p.models.attention_unet import attention_unet
from keras_unet3p.models.fcn import fcn
from keras_unet3p.models.segmentation_model import SegmentationModel
from keras_unet3p.models.unet import unet
from keras_unet3p.models.unet3plus import unet3plus
from keras_unet3p.models.unet_plus_plus import unet_plus_plus

ARCHITECTURES: Mapping[str, Callable[..., SegmentationModel]] = MappingProxyType(
    {
        "unet3plus": unet3plus,
        "unet": unet,
        "unet_plus_plus": unet_plus_plus,
        "attention_unet": attention_unet,
        "fcn": fcn,
    }
)
"""Name -> builder: what `model.architecture` says of a built model."""
