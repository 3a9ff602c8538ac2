"""Metrics: streaming Dice and IoU for training, and measures on label images."""

from __future__ import annotations

from keras_unet3p.metrics.borders import hausdorff_distance
from keras_unet3p.metrics.dice import Dice
from keras_unet3p.metrics.evaluation import evaluate_labels, summarize_evaluations
from keras_unet3p.metrics.iou import IoU
from keras_unet3p.metrics.mask_measure import MASK_MEASURES, MaskMeasure
from keras_unet3p.metrics.mistakes import ObjectErrors, object_errors
from keras_unet3p.metrics.objects import ObjectScores, object_scores, panoptic_quality, seg
from keras_unet3p.metrics.partitions import (
    RandError,
    VariationOfInformation,
    rand_error,
    variation_of_information,
)
from keras_unet3p.metrics.pixels import pixel_error
from keras_unet3p.metrics.topology import WarpingError, simple_points, warping_error

__all__ = [
    "MASK_MEASURES",
    "Dice",
    "IoU",
    "MaskMeasure",
    "ObjectErrors",
    "ObjectScores",
    "RandError",
    "VariationOfInformation",
    "WarpingError",
    "evaluate_labels",
    "hausdorff_distance",
    "object_errors",
    "object_scores",
    "panoptic_quality",
    "pixel_error",
    "rand_error",
    "seg",
    "simple_points",
    "summarize_evaluations",
    "variation_of_information",
    "warping_error",
]
