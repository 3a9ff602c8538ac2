"""Metrics: streaming Dice and IoU for training, and measures on label images."""

from __future__ import annotations

from keras_unet3p.metrics.dice import Dice
from keras_unet3p.metrics.evaluate_labels import evaluate_labels
from keras_unet3p.metrics.hausdorff_distance import hausdorff_distance
from keras_unet3p.metrics.iou import IoU
from keras_unet3p.metrics.object_scores import ObjectScores, object_scores
from keras_unet3p.metrics.pixel_error import pixel_error
from keras_unet3p.metrics.rand_error import RandError, rand_error
from keras_unet3p.metrics.seg import seg
from keras_unet3p.metrics.simple_points import simple_points
from keras_unet3p.metrics.summarize_evaluations import summarize_evaluations
from keras_unet3p.metrics.variation_of_information import (
    VariationOfInformation,
    variation_of_information,
)
from keras_unet3p.metrics.warping_error import WarpingError, warping_error

__all__ = [
    "Dice",
    "IoU",
    "ObjectScores",
    "RandError",
    "VariationOfInformation",
    "WarpingError",
    "evaluate_labels",
    "hausdorff_distance",
    "object_scores",
    "pixel_error",
    "rand_error",
    "seg",
    "simple_points",
    "summarize_evaluations",
    "variation_of_information",
    "warping_error",
]
