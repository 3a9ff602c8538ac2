"""The choice of tiles that fit a network."""

from __future__ import annotations

from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import NetworkFacts, TileGeometry
from keras_unet3p.graphs.network_geometry import network_facts
from keras_unet3p.graphs.receptive_field import exact_halo

_EIGHTHS = (1, 2, 3, 4, 6)
"""Sides of the smaller tiles, in eighths of the full one: few, as each costs a compiled graph."""


def model_geometry(
    model: Any,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    *,
    blend: int | None = None,
    border: int = 0,
) -> TileGeometry:
    """Return the tile geometry for a model.

    Args:
        model: a Keras model with one image input.
        tile_size: side of the tile in pixels, or height and width. The largest size that the model
            takes and that is not above it is used. A model with one fixed input size gets that
            size.
        halo: pixels of context on each side that are not kept, rounded up to the model's stride.
            "exact" takes the context with which tiles equal the whole image (`exact_halo`), plus
            the width of the cross-fade, which is then 0 by default. None takes the margin of an
            unpadded network, which is exact. For a padded one it takes an eighth of the tile: this
            is faster than "exact" and leaves no visible seam if tiles are blended.
        blend: width of the cross-fade between tiles. None is as wide as the halo allows, 0 is none.
        border: pixels that are mirrored around the image in addition to an unpadded network's
            margin, at most `halo - margin`. With 0 the result of a padded network at the image's
            border equals that of the whole image, if the image is at least as large as a tile. A
            smaller image is mirrored on the right and below to the size of a tile; for a network
            that appends zeros itself (FCN), it is filled with zeros.

    Returns:
        The geometry. Its `margin`, `stride` and `fill` come from the model.

    Raises:
        ValueError: if an argument does not fit, or the model takes no tile of this size or less.

    Example:
        >>> from keras_unet3p.models import unet
        >>> geometry = model_geometry(unet(filters=2, depth=2), tile_size=100)
        >>> geometry.tile, geometry.halo, geometry.blend
        ((100, 100), 12, 12)
    """
    facts = network_facts(model)
    tile, margin = facts.tile(tile_size), facts.margin
    if halo == "exact":
        blend = blend or 0
        halo = exact_halo(model) + blend
    elif halo is None:
        halo = margin if margin else min(tile) // 8
    elif not isinstance(halo, int):
        raise InputError(f"halo must be pixels, 'exact' or None, found {halo!r}")
    return TileGeometry.fit(
        tile,
        halo,
        margin=margin,
        stride=facts.grid,
        blend=blend,
        border=border,
        fill=facts.padding,
    )


def whole_geometry(facts: NetworkFacts, height: int, width: int) -> TileGeometry:
    """Return the geometry of one tile that holds a whole image of this size, without a halo."""
    tile = facts.whole(max(height, facts.grid), max(width, facts.grid))
    return TileGeometry(tile, facts.margin, facts.margin, facts.grid, fill=facts.padding)


def small_geometry(
    facts: NetworkFacts, tile_size: int | tuple[int, int], height: int, width: int
) -> TileGeometry | None:
    """One tile smaller than `tile_size` that an image of this size fits into; None if none does.

    Tiles come in five smaller sizes, 64 to 384 pixels for 512, so that images of many sizes share
    a few compiled graphs.

    Args:
        facts: of the network.
        tile_size: side of the full tile in pixels, or height and width.
        height, width: of the image in pixels.

    Returns:
        A geometry of one tile, without halo; None too for a network of one fixed size.

    Example:
        >>> facts = NetworkFacts(1, 1, "sigmoid", divisor=16, minimum=16, grid=16)
        >>> small_geometry(facts, 512, 128, 100).tile
        (128, 128)
    """
    full = facts.tile(tile_size)
    if facts.fixed_size is not None:
        return None
    wanted = (tile_size, tile_size) if isinstance(tile_size, int) else tuple(tile_size)
    for eighths in _EIGHTHS:
        sides = [facts.at_most(int(side) * eighths // 8) for side in wanted]
        tile = sides[0], sides[1]
        holds = all(
            side >= max(facts.smallest_tile, max(length, facts.grid) + 2 * facts.margin)
            for side, length in zip(tile, (height, width), strict=True)
        )
        if holds and tile != full:
            return TileGeometry(tile, facts.margin, facts.margin, facts.grid, fill=facts.padding)
    return None
