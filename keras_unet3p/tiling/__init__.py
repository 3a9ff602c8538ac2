"""Segmentation of images of any size, tile by tile.

The geometry (`keras_unet3p.geometry`) imports neither NumPy nor TensorFlow. The other names are
imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from keras_unet3p.geometry import AxisTile, Tile, TileGeometry, mirror_index

if TYPE_CHECKING:
    from keras_unet3p.tiling.image_prediction import predict_image
    from keras_unet3p.tiling.in_graph_tiler import InGraphTiler
    from keras_unet3p.tiling.streaming_predictor import StreamingPredictor
    from keras_unet3p.tiling.tile_choice import model_geometry

_LAZY = {
    "InGraphTiler": "in_graph_tiler",
    "StreamingPredictor": "streaming_predictor",
    "model_geometry": "tile_choice",
    "predict_image": "image_prediction",
}

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


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
