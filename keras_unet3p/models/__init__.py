"""The networks, as functions that build Keras models."""

from keras_unet3p.models.architectures.attention_unet import attention_unet
from keras_unet3p.models.architectures.fcn import fcn
from keras_unet3p.models.architectures.unet import unet
from keras_unet3p.models.architectures.unet3plus import unet3plus
from keras_unet3p.models.architectures.unetplusplus import unetplusplus
from keras_unet3p.models.encoders import ENCODERS, encoder_tensors
from keras_unet3p.models.pruning import prune_unetplusplus
from keras_unet3p.models.pytorch_weights import load_pytorch_state_dict, pytorch_state_dict
from keras_unet3p.models.registry import ARCHITECTURES
from keras_unet3p.models.segmentation_model import SegmentationModel

__all__ = [
    "ARCHITECTURES",
    "ENCODERS",
    "SegmentationModel",
    "attention_unet",
    "encoder_tensors",
    "fcn",
    "load_pytorch_state_dict",
    "prune_unetplusplus",
    "pytorch_state_dict",
    "unet",
    "unet3plus",
    "unetplusplus",
]
