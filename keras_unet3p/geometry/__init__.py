"""Tiles, mirroring, cross-fade, what a network does to sizes: integers and frozen values only.

Nothing here imports NumPy or TensorFlow.
"""

from keras_unet3p.geometry.network import NetworkFacts
from keras_unet3p.geometry.tiles import (
    AxisTile,
    Tile,
    TileGeometry,
    TileGrid,
    fade_in,
    mirror_index,
    mirrored,
)

__all__ = [
    "AxisTile",
    "NetworkFacts",
    "Tile",
    "TileGeometry",
    "TileGrid",
    "fade_in",
    "mirror_index",
    "mirrored",
]
