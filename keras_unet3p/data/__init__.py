"""Folders and stacks to `tf.data` of (image, mask[, weight map]); augmentation; border weights."""

from keras_unet3p.data.augmentation import Augmentation
from keras_unet3p.data.border_weights import border_weight_map
from keras_unet3p.data.generated_cells import generate_cells
from keras_unet3p.data.labeled_images import LabeledImages
from keras_unet3p.data.opening import open_images
from keras_unet3p.data.patch_weights import class_balance
from keras_unet3p.data.sample import Sample
from keras_unet3p.data.separation import separate_instances
from keras_unet3p.data.suspicions import Suspicion, find_suspicions
from keras_unet3p.data.training_data import training_pipeline
from keras_unet3p.data.unlabeled import IGNORED
from keras_unet3p.data.validation_data import validation_pipeline
from keras_unet3p.images.image_list import ListedPair, is_image_list, read_image_list

__all__ = [
    "IGNORED",
    "Augmentation",
    "LabeledImages",
    "ListedPair",
    "Sample",
    "Suspicion",
    "border_weight_map",
    "class_balance",
    "find_suspicions",
    "generate_cells",
    "is_image_list",
    "open_images",
    "read_image_list",
    "separate_instances",
    "training_pipeline",
    "validation_pipeline",
]
