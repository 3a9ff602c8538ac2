"""Images and masks, from files to `tf.data` of (image, mask[, weight map])."""

from keras_unet3p.data._patch_weights import class_balance
from keras_unet3p.data.augmentation import Augmentation
from keras_unet3p.data.border_weight_map import border_weight_map
from keras_unet3p.data.generate_cells import generate_cells
from keras_unet3p.data.image_file import ImageFile
from keras_unet3p.data.image_folder import ImageFolder
from keras_unet3p.data.image_values import ValuesWarning
from keras_unet3p.data.label_instances import label_instances
from keras_unet3p.data.limits import MAX_PAGES, MAX_PIXELS, Limits
from keras_unet3p.data.list_images import list_images, name_images
from keras_unet3p.data.normalization import Normalization
from keras_unet3p.data.open_folder import open_folder
from keras_unet3p.data.read_image import read_image
from keras_unet3p.data.read_labels import read_labels
from keras_unet3p.data.sample import Sample
from keras_unet3p.data.separate_instances import separate_instances
from keras_unet3p.data.stored_values import StoredValues
from keras_unet3p.data.training_pipeline import training_pipeline
from keras_unet3p.data.validation_pipeline import validation_pipeline
from keras_unet3p.data.value_check import check_files, check_values
from keras_unet3p.data.weight_map_picture import weight_map_picture

__all__ = [
    "MAX_PAGES",
    "MAX_PIXELS",
    "Augmentation",
    "ImageFile",
    "ImageFolder",
    "Limits",
    "Normalization",
    "Sample",
    "StoredValues",
    "ValuesWarning",
    "border_weight_map",
    "check_files",
    "check_values",
    "class_balance",
    "generate_cells",
    "label_instances",
    "list_images",
    "name_images",
    "open_folder",
    "read_image",
    "read_labels",
    "separate_instances",
    "training_pipeline",
    "validation_pipeline",
    "weight_map_picture",
]
