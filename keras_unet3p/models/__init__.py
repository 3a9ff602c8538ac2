"""The networks, as functions that build Keras models."""

from keras_unet3p.models.architectures import ARCHITECTURES
from keras_unet3p.models.attention_unet import attention_unet
from keras_unet3p.models.encoders import ENCODERS, encoder_tensors
from keras_unet3p.models.fcn import fcn
from keras_unet3p.models.load_pytorch_state_dict import load_pytorch_state_dict
from keras_unet3p.models.prune_unet_plus_plus import prune_unet_plus_plus
from keras_unet3p.models.pytorch_state_dict import pytorch_state_dict
from keras_unet3p.models.segmentation_model import SegmentationModel
from keras_unet3p.models.unet import unet
from keras_unet3p.models.unet3plus import unet3plus
from keras_unet3p.models.unet_plus_plus import unet_plus_plus

__all__ = [
    "ARCHITECTURES",
    "ENCODERS",
    "SegmentationModel",
    "attention_unet",
    "encoder_tensors",
    "fcn",
    "load_pytorch_state_dict",
    "prune_unet_plus_plus",
    "pytorch_state_dict",
    "unet",
    "unet3plus",
    "unet_plus_plus",
]
