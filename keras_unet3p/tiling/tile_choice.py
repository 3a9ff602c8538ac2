"""Which tiles fit a network."""

from __future__ import annotations

from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import NetworkFacts, TileGeometry
from keras_unet3p.graphs.network_geometry import network_facts
from keras_unet3p.graphs.receptive_field import exact_halo


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
