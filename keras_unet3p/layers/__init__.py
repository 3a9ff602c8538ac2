"""Layers that the networks need and Keras lacks."""

from keras_unet3p._after_keras import catch_up
from keras_unet3p.layers.batch_normalization import BatchNormalization
from keras_unet3p.layers.bilinear_upsampling2d import BilinearUpsampling2D
from keras_unet3p.layers.center_crop import CenterCrop
from keras_unet3p.layers.crop_to import CropTo
from keras_unet3p.layers.dropout import Dropout
from keras_unet3p.layers.ensemble_average import EnsembleAverage
from keras_unet3p.layers.folded_batch_normalization import FoldedBatchNormalization
from keras_unet3p.layers.image_net_input import ImageNetInput
from keras_unet3p.layers.input_size import InputSize
from keras_unet3p.layers.intensity_normalization import IntensityNormalization
from keras_unet3p.layers.pad_to_multiple import PadToMultiple
from keras_unet3p.layers.presence_gate import PresenceGate
from keras_unet3p.layers.segmentation_average import SegmentationAverage
from keras_unet3p.layers.segmentation_output import SegmentationOutput
from keras_unet3p.layers.upsample_conv2d import UpsampleConv2D

__all__ = [
    "BatchNormalization",
    "BilinearUpsampling2D",
    "CenterCrop",
    "CropTo",
    "Dropout",
    "EnsembleAverage",
    "FoldedBatchNormalization",
    "ImageNetInput",
    "InputSize",
    "IntensityNormalization",
    "PadToMultiple",
    "PresenceGate",
    "SegmentationAverage",
    "SegmentationOutput",
    "UpsampleConv2D",
]

catch_up(__name__)
