"""Which tiles fit a network."""

from __future__ import annotations

from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import NetworkFacts, TileGeometry
from keras_unet3p.tiling.network_geometry import network_facts
from keras_unet3p.tiling.receptive_field import exact_halo

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
    """The tile geometry for a model.

    Args:
        model: a Keras model of one image input.
        tile_size: side of the tile in pixels, or height and width. A model of one fixed input size
            gets that size; else the largest size not above it that the model takes.
        halo: pixels of context on each side that are not kept, rounded up to the model's stride.
            "exact" takes what the model needs for tiles to equal the whole image (`exact_halo`),
            and the width of the cross-fade more, which is 0 then unless it is given. None gives an
            unpadded network its margin, which is exact, and a padded one an eighth of the tile,
            which is cheaper than exact and leaves no visible seam where tiles are blended.
        blend: width of the cross-fade between tiles; None as wide as the halo allows, 0 none.
        border: pixels that are mirrored around the image on top of an unpadded network's margin, at
            most as many as the halo has on top of it. With 0 a padded network gives at the image's
            border what it gives for the image in one piece, if that is at least as large as a tile;
            a smaller image is mirrored on the right and below until it fills one, or filled with
            zeros for a network that does so itself (FCN).

    Returns:
        The geometry; `margin`, `stride` and `fill` in it come from the model.

    Raises:
        ValueError: an argument, or the model takes no tile that small.
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
    """One tile that shows an image of this size in one piece, which needs no halo."""
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
