"""Probabilities to class ids and instances, in NumPy and in the graph.

What is in it is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_unet3p._lazy_names import lazy_names

if TYPE_CHECKING:
    from keras_unet3p.postprocessing.class_ids import is_foreground, to_class_ids
    from keras_unet3p.postprocessing.imagej_rois import outlines_rois
    from keras_unet3p.postprocessing.in_graph_class_ids import to_class_ids_in_graph
    from keras_unet3p.postprocessing.in_graph_watershed import in_graph_instances
    from keras_unet3p.postprocessing.instance_rule import InstanceRule
    from keras_unet3p.postprocessing.instances import instances_from_probability, label_instances
    from keras_unet3p.postprocessing.mask_rule import MaskRule
    from keras_unet3p.postprocessing.measurements import object_table
    from keras_unet3p.postprocessing.outlines import object_outlines, outlines_geojson
    from keras_unet3p.postprocessing.regions import connected_regions, parted
    from keras_unet3p.postprocessing.rule_search import (
        RuleChoice,
        search_instance_rule,
        search_rule,
    )
    from keras_unet3p.postprocessing.slice_links import MIN_IOU, SliceLinker, link_slices
    from keras_unet3p.postprocessing.stitching import instances_by_windows
    from keras_unet3p.postprocessing.volume_objects import volume_table

__all__ = [
    "MIN_IOU",
    "InstanceRule",
    "MaskRule",
    "RuleChoice",
    "SliceLinker",
    "connected_regions",
    "in_graph_instances",
    "instances_by_windows",
    "instances_from_probability",
    "is_foreground",
    "label_instances",
    "link_slices",
    "object_outlines",
    "object_table",
    "outlines_geojson",
    "outlines_rois",
    "parted",
    "search_instance_rule",
    "search_rule",
    "to_class_ids",
    "to_class_ids_in_graph",
    "volume_table",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "MIN_IOU": "slice_links",
        "InstanceRule": "instance_rule",
        "MaskRule": "mask_rule",
        "RuleChoice": "rule_search",
        "SliceLinker": "slice_links",
        "connected_regions": "regions",
        "in_graph_instances": "in_graph_watershed",
        "instances_by_windows": "stitching",
        "instances_from_probability": "instances",
        "is_foreground": "class_ids",
        "label_instances": "instances",
        "link_slices": "slice_links",
        "object_outlines": "outlines",
        "object_table": "measurements",
        "outlines_geojson": "outlines",
        "outlines_rois": "imagej_rois",
        "parted": "regions",
        "search_instance_rule": "rule_search",
        "search_rule": "rule_search",
        "to_class_ids": "class_ids",
        "to_class_ids_in_graph": "in_graph_class_ids",
        "volume_table": "volume_objects",
    },
)
