"""The networks, as functions that build Keras models."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from keras_unet3p import config
from keras_unet3p.models.architectures.attention_unet import attention_unet
from keras_unet3p.models.architectures.fcn import fcn
from keras_unet3p.models.architectures.unet import unet
from keras_unet3p.models.architectures.unet3plus import unet3plus
from keras_unet3p.models.architectures.unetplusplus import unetplusplus
from keras_unet3p.models.averaging import ensemble
from keras_unet3p.models.encoders import ENCODERS, encoder_tensors
from keras_unet3p.models.presets import from_preset
from keras_unet3p.models.pruning import prune_unetplusplus
from keras_unet3p.models.pytorch_weights import load_pytorch_state_dict, pytorch_state_dict
from keras_unet3p.models.segmentation_model import SegmentationModel
from keras_unet3p.models.taken_weights import TakenWeights
from keras_unet3p.models.transfer import freeze_layers, take_weights

__all__ = [
    "ARCHITECTURES",
    "ENCODERS",
    "SegmentationModel",
    "TakenWeights",
    "attention_unet",
    "encoder_tensors",
    "ensemble",
    "fcn",
    "freeze_layers",
    "from_preset",
    "load_pytorch_state_dict",
    "prune_unetplusplus",
    "pytorch_state_dict",
    "take_weights",
    "unet",
    "unet3plus",
    "unetplusplus",
]

ARCHITECTURES: Mapping[str, Callable[..., SegmentationModel]] = MappingProxyType(
    {name: globals()[name] for name in config.ARCHITECTURES}
)
"""Name -> builder, for the names in `config.ARCHITECTURES`; `model.architecture` is such a name."""
