"""Files of every format to stored pixels to unit values; pictures for people.

What is in it is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_unet3p._lazy_names import lazy_names

if TYPE_CHECKING:
    from keras_unet3p.images.drift import Drift, DriftMonitor, DriftWarning, MaskSpans
    from keras_unet3p.images.file_source import AxesWarning, open_planes
    from keras_unet3p.images.found_files import FoundFile, find_files, list_images
    from keras_unet3p.images.image_file import ImageFile, open_files
    from keras_unet3p.images.image_values import ImageValues, ValuesWarning, measure_values
    from keras_unet3p.images.label_files import MASK_FORMATS, write_labels
    from keras_unet3p.images.limits import MAX_PAGES, MAX_PIXELS, Limits
    from keras_unet3p.images.listing import name_images
    from keras_unet3p.images.normalization import Normalization
    from keras_unet3p.images.pictures import (
        color_labels,
        instance_panel,
        label_borders,
        mask_picture,
        overlay,
        panel,
        result_panel,
        to_rgb,
        weight_map_picture,
        write_picture,
    )
    from keras_unet3p.images.pixel_size import stored_pixel_size
    from keras_unet3p.images.plane import Plane
    from keras_unet3p.images.reading import read_image, read_labels
    from keras_unet3p.images.shown import Shown, show
    from keras_unet3p.images.stored_values import StoredValues
    from keras_unet3p.images.stretching import IntensityHistogram, intensity_range, stretch
    from keras_unet3p.images.unit_values import VALUE_SCALES, to_unit
    from keras_unet3p.images.value_check import check_files, check_values

__all__ = [
    "MASK_FORMATS",
    "MAX_PAGES",
    "MAX_PIXELS",
    "VALUE_SCALES",
    "AxesWarning",
    "Drift",
    "DriftMonitor",
    "DriftWarning",
    "FoundFile",
    "ImageFile",
    "ImageValues",
    "IntensityHistogram",
    "Limits",
    "MaskSpans",
    "Normalization",
    "Plane",
    "Shown",
    "StoredValues",
    "ValuesWarning",
    "check_files",
    "check_values",
    "color_labels",
    "find_files",
    "instance_panel",
    "intensity_range",
    "label_borders",
    "list_images",
    "mask_picture",
    "measure_values",
    "name_images",
    "open_files",
    "open_planes",
    "overlay",
    "panel",
    "read_image",
    "read_labels",
    "result_panel",
    "show",
    "stored_pixel_size",
    "stretch",
    "to_rgb",
    "to_unit",
    "weight_map_picture",
    "write_labels",
    "write_picture",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "MASK_FORMATS": "label_files",
        "MAX_PAGES": "limits",
        "MAX_PIXELS": "limits",
        "VALUE_SCALES": "unit_values",
        "AxesWarning": "file_source",
        "Drift": "drift",
        "DriftMonitor": "drift",
        "DriftWarning": "drift",
        "FoundFile": "found_files",
        "ImageFile": "image_file",
        "ImageValues": "image_values",
        "IntensityHistogram": "stretching",
        "Limits": "limits",
        "MaskSpans": "drift",
        "Normalization": "normalization",
        "Plane": "plane",
        "Shown": "shown",
        "StoredValues": "stored_values",
        "ValuesWarning": "image_values",
        "check_files": "value_check",
        "check_values": "value_check",
        "color_labels": "pictures",
        "find_files": "found_files",
        "instance_panel": "pictures",
        "intensity_range": "stretching",
        "label_borders": "pictures",
        "list_images": "found_files",
        "mask_picture": "pictures",
        "measure_values": "image_values",
        "name_images": "listing",
        "open_files": "image_file",
        "open_planes": "file_source",
        "overlay": "pictures",
        "panel": "pictures",
        "read_image": "reading",
        "read_labels": "reading",
        "result_panel": "pictures",
        "show": "shown",
        "stored_pixel_size": "pixel_size",
        "stretch": "stretching",
        "to_rgb": "pictures",
        "to_unit": "unit_values",
        "weight_map_picture": "pictures",
        "write_labels": "label_files",
        "write_picture": "pictures",
    },
)
