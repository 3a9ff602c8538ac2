"""The registry of architectures: a new one takes a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from keras_unet3p.models.architectures.attention_unet import attention_unet
from keras_unet3p.models.architectures.fcn import fcn
from keras_unet3p.models.architectures.unet import unet
from keras_unet3p.models.architectures.unet3plus import unet3plus
from keras_unet3p.models.architectures.unetplusplus import unetplusplus
from keras_unet3p.models.segmentation_model import SegmentationModel

ARCHITECTURES: Mapping[str, Callable[..., SegmentationModel]] = MappingProxyType(
    {
        "unet3plus": unet3plus,
        "unet": unet,
        "unetplusplus": unetplusplus,
        "attention_unet": attention_unet,
        "fcn": fcn,
    }
)
"""Name -> builder: what `model.architecture` says of a built model."""
