"""Annotations of other programs in and out: COCO, LabelMe, QuPath, ImageJ, Label Studio.

What is in it is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_unet3p._lazy_names import lazy_names

if TYPE_CHECKING:
    from keras_unet3p.annotations.annotated_image import AnnotatedImage
    from keras_unet3p.annotations.annotated_object import AnnotatedObject
    from keras_unet3p.annotations.annotation_set import AnnotationSet
    from keras_unet3p.annotations.coco import read_coco, write_coco
    from keras_unet3p.annotations.formats import SOURCES, find_format, read_annotations
    from keras_unet3p.annotations.geojson import read_geojson, write_geojson
    from keras_unet3p.annotations.image_sizes import KnownImage, known_images
    from keras_unet3p.annotations.imagej import read_imagej, write_imagej
    from keras_unet3p.annotations.label_studio import read_label_studio
    from keras_unet3p.annotations.labelme import read_labelme, write_labelme
    from keras_unet3p.annotations.object_image import ObjectImage
    from keras_unet3p.annotations.raster import polygon_pixels

__all__ = [
    "SOURCES",
    "AnnotatedImage",
    "AnnotatedObject",
    "AnnotationSet",
    "KnownImage",
    "ObjectImage",
    "find_format",
    "known_images",
    "polygon_pixels",
    "read_annotations",
    "read_coco",
    "read_geojson",
    "read_imagej",
    "read_label_studio",
    "read_labelme",
    "write_coco",
    "write_geojson",
    "write_imagej",
    "write_labelme",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AnnotatedImage": "annotated_image",
        "AnnotatedObject": "annotated_object",
        "AnnotationSet": "annotation_set",
        "KnownImage": "image_sizes",
        "ObjectImage": "object_image",
        "SOURCES": "formats",
        "find_format": "formats",
        "known_images": "image_sizes",
        "polygon_pixels": "raster",
        "read_annotations": "formats",
        "read_coco": "coco",
        "read_geojson": "geojson",
        "read_imagej": "imagej",
        "read_label_studio": "label_studio",
        "read_labelme": "labelme",
        "write_coco": "coco",
        "write_geojson": "geojson",
        "write_imagej": "imagej",
        "write_labelme": "labelme",
    },
)
