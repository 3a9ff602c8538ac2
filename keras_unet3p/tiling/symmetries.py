"""Mirrored and turned versions of tiles, and the mean of what a network says of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import TileGeometry

VERSIONS = (1, 2, 4, 8)
"""How many there may be: with the left-right mirror, the up-down one too, and transposed too."""


def check_versions(versions: int, geometry: TileGeometry) -> None:
    """Refuse a number of versions that there is not, or that these tiles do not have.

    Raises:
        ValueError: it is not 1, 2, 4 or 8, or 8 of tiles that are not square.

    Example:
        >>> check_versions(8, TileGeometry((32, 32), halo=8))
    """
    if versions not in VERSIONS:
        raise InputError(f"test_time_augmentation must be 1, 2, 4 or 8, found {versions}")
    if versions == 8 and geometry.tile[0] != geometry.tile[1]:
        raise InputError(f"test_time_augmentation=8 needs square tiles, found {geometry.tile}")


def averaged(
    run: Callable[[np.ndarray], np.ndarray], versions: int
) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the mean of what `run` gives for versions of tiles, turned back.

    As `InGraphTiler` does in a graph, for whatever computes tiles: tiles (n, T, T, C) in, maps
    (n, T', T', K) out.

    Example:
        >>> brighter_left = averaged(lambda tiles: tiles * [[[1.0], [0.0]]], versions=2)
        >>> brighter_left(np.ones((1, 2, 2, 1)))[0, :, :, 0].tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    if versions == 1:
        return run

    def mean(tiles: np.ndarray) -> np.ndarray:
        total = 0.0
        for version in range(versions):
            found = run(np.ascontiguousarray(_transformed(tiles, version)))
            total = total + _transformed(found, version, inverse=True)
        return np.asarray(total / np.float32(versions))

    return mean


def _transformed(tiles: np.ndarray, version: int, inverse: bool = False) -> np.ndarray:
    """Version 0 to 7: bit 0 flips columns, bit 1 flips rows, bit 2 transposes before that."""
    if version & 4 and not inverse:
        tiles = tiles.swapaxes(1, 2)
    if version & 1:
        tiles = tiles[:, :, ::-1]
    if version & 2:
        tiles = tiles[:, ::-1]
    if version & 4 and inverse:
        tiles = tiles.swapaxes(1, 2)
    return tiles
