"""Metrics: streaming Dice and IoU for training, and measures on label images."""

from __future__ import annotations

from keras_unet3p.metrics.dice import Dice
from keras_unet3p.metrics.iou import IoU

__all__ = ["Dice", "IoU"]
