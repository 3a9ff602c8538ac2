"""The networks, as functions that build Keras models."""

from keras_unet3p.models.fold_batch_norm import fold_batch_norm
from keras_unet3p.models.segmentation_model import SegmentationModel
from keras_unet3p.models.unet import unet, unet_tensors
from keras_unet3p.models.unet3plus import unet3plus, unet3plus_tensors

__all__ = [
    "SegmentationModel",
    "fold_batch_norm",
    "unet",
    "unet3plus",
    "unet3plus_tensors",
    "unet_tensors",
]
