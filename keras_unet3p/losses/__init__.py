"""Losses on masks: pixel level, region level, and their mixture."""

from __future__ import annotations

from keras_unet3p.losses.cl_dice import ClDice
from keras_unet3p.losses.dice import Dice
from keras_unet3p.losses.focal import Focal
from keras_unet3p.losses.hybrid_loss import HybridLoss
from keras_unet3p.losses.instance_loss import InstanceLoss
from keras_unet3p.losses.iou import IoU
from keras_unet3p.losses.loss_layer import LossLayer
from keras_unet3p.losses.ms_ssim import MSSSIM
from keras_unet3p.losses.segmentation_loss import SegmentationLoss
from keras_unet3p.losses.tversky import Tversky
from keras_unet3p.losses.weighted_cross_entropy import WeightedCrossEntropy

__all__ = [
    "MSSSIM",
    "ClDice",
    "Dice",
    "Focal",
    "HybridLoss",
    "InstanceLoss",
    "IoU",
    "LossLayer",
    "SegmentationLoss",
    "Tversky",
    "WeightedCrossEntropy",
]
