"""Segmentation of images of any size, tile by tile.

The geometry (`keras_unet3p.geometry`) imports neither NumPy nor TensorFlow. The other names are
imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_unet3p._lazy_names import lazy_names
from keras_unet3p.geometry import AxisTile, Tile, TileGeometry, mirror_index

if TYPE_CHECKING:
    from keras_unet3p.tiling.image_prediction import predict_image
    from keras_unet3p.tiling.in_graph_tiler import InGraphTiler
    from keras_unet3p.tiling.streaming_predictor import StreamingPredictor
    from keras_unet3p.tiling.tile_choice import model_geometry

__all__ = [
    "AxisTile",
    "InGraphTiler",
    "StreamingPredictor",
    "Tile",
    "TileGeometry",
    "mirror_index",
    "model_geometry",
    "predict_image",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "InGraphTiler": "in_graph_tiler",
        "StreamingPredictor": "streaming_predictor",
        "model_geometry": "tile_choice",
        "predict_image": "image_prediction",
    },
)
