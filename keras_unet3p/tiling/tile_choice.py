"""The choice of tiles that fit a network."""

from __future__ import annotations

from typing import Any

from keras_unet3p.errors import InputError
from keras_unet3p.geometry import NetworkFacts, TileGeometry
from keras_unet3p.tiling.network_geometry import network_facts
from keras_unet3p.tiling.receptive_field import exact_halo


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
