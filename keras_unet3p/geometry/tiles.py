"""Where the tiles of an image lie: integer arithmetic only, no array library is imported here.

A tile of `tile` input pixels gives, after the network took its `margin` off each side (zero for a
padded network), an output of which only the *core* is kept: the part farther than `halo` input
pixels from the tile's border. The first and the last tile also keep what lies between their core
and the image's border, where no neighbour knows better: they reach only `margin + border` pixels
beyond it, mirrored. An unpadded network needs its margin there; a padded one needs nothing, and
then gives at the image's border what it gives for the image in one piece. What a tile has beyond
that on the right and below, because the image ends between two steps of the grid or is smaller than
a tile, is filled with mirrored pixels, or with zeros where the network itself appends zeros to
images that end there.

A network that pools sees the image through a grid of `stride` pixels. Tiles start on that grid, so
that a tile pools exactly the pixels that the whole image would pool together; without this the
tiled result differs from the whole one everywhere.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from keras_unet3p.errors import InputError

FILLS = ("mirror", "zeros")


def mirror_index(index: int, length: int) -> int:
    """The index in 0..length-1 that stands for `index` after mirroring at both borders.

    The border pixel is not repeated ("reflect 101"): -1 becomes 1, `length` becomes `length - 2`.
    Any distance works: the image is mirrored as often as needed. One pixel repeats for ever.

    Example:
        >>> [ku.geometry.mirror_index(index, 4) for index in range(-2, 6)]
        [2, 1, 0, 1, 2, 3, 2, 1]
    """
    if length < 1:
        raise InputError(f"length must be at least 1, found {length}")
    return mirrored(index, length)


def mirrored(index, length, maximum=max):
    """`mirror_index` for whole arrays of integers, of any library.

    Args:
        index: integers, of any sign.
        length: of the axis, at least 1.
        maximum: the library's function, where `length` is a tensor of a graph.

    Example:
        >>> ku.geometry.mirrored(np.arange(-2, 6), 4).tolist()
        [2, 1, 0, 1, 2, 3, 2, 1]
    """
    last = length - 1
    return last - abs(index % maximum(2 * last, 1) - last)


@dataclass(frozen=True)
class AxisTile:
    """One tile along one axis; all positions are pixels, ranges are half open.

    Attributes:
        read_start, read_stop: the tile in image coordinates; may reach outside the image.
        source_start, source_stop: the pixels of the image that the tile shows, mirrored ones
            included.
        mirror_before, mirror_after: how many of the tile's pixels on each side show mirrored ones.
        zeros_after: how many of the tile's last pixels, behind the mirrored ones, are zero.
        crop_start, crop_stop: the part of the tile's *output* that is kept (blended ring included).
        write_start, write_stop: where that part goes in the image.
        weights: one factor for each kept pixel; those of all tiles add up to one at every pixel.

    Example:
        >>> tile = ku.geometry.TileGeometry(tile=(64, 64), halo=8).axis_tile(1, length=100, axis=0)
        >>> (tile.read_start, tile.read_stop), (tile.write_start, tile.write_stop)
        ((36, 100), (56, 100))
    """

    read_start: int
    read_stop: int
    source_start: int
    source_stop: int
    mirror_before: int
    mirror_after: int
    zeros_after: int
    crop_start: int
    crop_stop: int
    write_start: int
    write_stop: int
    weights: tuple[float, ...]

    def sources(self, length: int) -> list[int]:
        """The pixel of the image, `length` pixels long, that each pixel of the tile shows.

        The `zeros_after` last ones show none.
        """
        stop = self.read_stop - self.zeros_after
        return [mirror_index(p, length) for p in range(self.read_start, stop)]


@dataclass(frozen=True)
class Tile:
    """One tile of an image: `index` counts row by row, `y` and `x` are its two axes.

    Example:
        >>> tiles = ku.geometry.TileGeometry(tile=(64, 64), halo=8).tiles(100, 60)
        >>> tiles[1].index, tiles[1].y.read_start, tiles[1].x.read_start
        (1, 36, 0)
    """

    index: int
    y: AxisTile
    x: AxisTile


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


@dataclass(frozen=True)
class TileGeometry:
    """How images of any size are cut into tiles of one size.

    Args:
        tile: height and width of the network's input in pixels.
        halo: input pixels of context on each side of a tile that are not kept. At least `margin`;
            `halo - margin` is a multiple of `stride`.
        margin: pixels that the network's output is smaller than its input, on each side: 0 for a
            padded network, 92 for the unpadded U-Net of depth 4.
        stride: the network's largest pooling step, 2**depth.
        blend: neighbouring tiles are cross-faded (raised cosine) over this many pixels on either
            side of the line between their cores. 0 cuts hard. At most `halo - margin` and half a
            core.
        border: pixels that are mirrored around the image on top of the margin: a multiple of
            `stride`, at most `halo - margin`.
        fill: what stands on the right and below the image, beyond what is mirrored there for
            `margin` and `border`: "mirror" goes on mirroring, "zeros" is for networks that append
            zeros to an image themselves.

    Raises:
        ValueError: when no core remains or an argument does not fit the others.

    Example:
        >>> geometry = ku.geometry.TileGeometry.fit(512, halo=90, stride=16)
        >>> geometry.halo, geometry.core, geometry.grid(2000, 3000)
        (96, (320, 320), (6, 9))
    """

    tile: tuple[int, int]
    halo: int
    margin: int = 0
    stride: int = 1
    blend: int = 0
    border: int = 0
    fill: str = "mirror"

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise InputError(f"fill must be one of {FILLS}, found {self.fill!r}")
        if self.margin < 0 or self.stride < 1 or self.blend < 0:
            raise InputError(
                f"margin and blend must be at least 0 and stride at least 1, found "
                f"margin={self.margin}, blend={self.blend}, stride={self.stride}"
            )
        if self.halo < self.margin or (self.halo - self.margin) % self.stride:
            raise InputError(
                f"halo must be margin + a multiple of stride ({self.margin} + n * {self.stride}), "
                f"found {self.halo}"
            )
        if min(self.core) < 1:
            raise InputError(
                f"tile {self.tile} with halo {self.halo} and stride {self.stride} keeps no pixel; "
                f"the tile must be at least {2 * self.halo + self.stride} on each side"
            )
        if self.blend > self.halo - self.margin or 2 * self.blend > min(self.core):
            raise InputError(
                f"blend must be at most halo - margin = {self.halo - self.margin} and at most half "
                f"the core = {min(self.core) // 2}, found {self.blend}"
            )
        if not 0 <= self.border <= self.halo - self.margin or self.border % self.stride:
            raise InputError(
                f"border must be a multiple of stride = {self.stride} and at most halo - margin = "
                f"{self.halo - self.margin}, found {self.border}"
            )

    @classmethod
    def fit(
        cls,
        tile: int | tuple[int, int],
        halo: int,
        *,
        margin: int = 0,
        stride: int = 1,
        blend: int | None = None,
        border: int = 0,
        fill: str = "mirror",
    ) -> TileGeometry:
        """The geometry with the next larger halo and border that are aligned to the stride.

        Args:
            tile: side of the tile, or height and width.
            halo: pixels of context wanted; a smaller value than `margin` means `margin`.
            margin: see the class.
            stride: see the class.
            blend: None takes the widest cross-fade that fits, else as the class.
            border, fill: as the class.
        """
        sides = (tile, tile) if isinstance(tile, int) else (int(tile[0]), int(tile[1]))
        aligned = margin + _round_up(max(halo - margin, 0), stride)
        geometry = cls(sides, aligned, margin, stride)
        if blend is None:
            blend = min(aligned - margin, min(geometry.core) // 2)
        return cls(sides, aligned, margin, stride, blend, _round_up(border, stride), fill)

    @property
    def core(self) -> tuple[int, int]:
        """Height and width of what each tile contributes; the step from tile to tile."""
        height, width = (
            (side - 2 * self.halo) // self.stride * self.stride if side > 2 * self.halo else 0
            for side in self.tile
        )
        return height, width

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of the network's output for one tile."""
        return self.tile[0] - 2 * self.margin, self.tile[1] - 2 * self.margin

    @property
    def mirrored(self) -> int:
        """Pixels by which the first and the last tile of an axis reach beyond the image."""
        return self.margin + self.border

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tiles for an image of `height` x `width` pixels."""
        for name, value in (("height", height), ("width", width)):
            if value < 1:
                raise InputError(f"image {name} must be at least 1, found {value}")
        return self._count(height, 0), self._count(width, 1)

    def _count(self, length: int, axis: int) -> int:
        left = max(length + 2 * self.mirrored - self.tile[axis], 0)
        return 1 + _round_up(left, self.core[axis]) // self.core[axis]

    def axis_tiles(self, length: int, axis: int) -> list[AxisTile]:
        """The tiles along one axis (0 rows, 1 columns) of an image `length` pixels long."""
        return [self.axis_tile(i, length, axis) for i in range(self._count(length, axis))]

    def axis_tile(self, i: int, length: int, axis: int) -> AxisTile:
        """Tile `i` along one axis (0 rows, 1 columns) of an image `length` pixels long."""
        count = self._count(length, axis)
        core, side, mirrored = self.core[axis], self.tile[axis], self.mirrored
        first, last = i == 0, i == count - 1
        read_start = i * core - mirrored
        if last and not first:
            # As far to the inside as the network's grid allows.
            beyond = read_start + side - mirrored - length
            read_start -= beyond // self.stride * self.stride
        read_stop = read_start + side
        # The lines between this core and its neighbours'.
        line = i * core + self.halo - mirrored
        next_line = line + core
        kept_start = 0 if first else line - self.blend
        kept_stop = length if last else min(next_line + self.blend, length)
        zeros = max(read_stop - length - mirrored, 0) if self.fill == "zeros" else 0
        before, after = max(-read_start, 0), max(read_stop - zeros - length, 0)
        if before or after:
            shown = [mirror_index(p, length) for p in range(read_start, read_stop - zeros)]
            source = min(shown), max(shown) + 1
        else:
            source = read_start, read_stop - zeros
        crop_start = kept_start - read_start - self.margin
        return AxisTile(
            read_start=read_start,
            read_stop=read_stop,
            source_start=source[0],
            source_stop=source[1],
            mirror_before=before,
            mirror_after=after,
            zeros_after=zeros,
            crop_start=crop_start,
            crop_stop=crop_start + kept_stop - kept_start,
            write_start=kept_start,
            write_stop=kept_stop,
            weights=tuple(
                self._weight(p, None if first else line, None if last else next_line)
                for p in range(kept_start, kept_stop)
            ),
        )

    def _weight(self, p: int, line: int | None, next_line: int | None) -> float:
        if line is not None and p < line + self.blend:
            return fade_in(p - (line - self.blend), 2 * self.blend)
        if next_line is not None and p >= next_line - self.blend:
            return 1.0 - fade_in(p - (next_line - self.blend), 2 * self.blend)
        return 1.0

    def tiles(self, height: int, width: int) -> TileGrid:
        """All tiles of an image of `height` x `width` pixels, row by row."""
        return TileGrid(self, height, width)

    def to_dict(self) -> dict:
        """The arguments as JSON-serialisable values; `TileGeometry(**d)` reads them back."""
        return {
            "tile": list(self.tile),
            "halo": self.halo,
            "margin": self.margin,
            "stride": self.stride,
            "blend": self.blend,
            "border": self.border,
            "fill": self.fill,
        }

    @classmethod
    def from_dict(cls, values: dict) -> TileGeometry:
        """The geometry that `to_dict` described."""
        return cls(**{**values, "tile": tuple(values["tile"])})


class TileGrid(Sequence[Tile]):
    """The tiles of one image, row by row, each made when it is asked for.

    Held are one axis tile for each column and those of the last few rows: that grows with the
    image's width and not with its area.

    Args:
        geometry: how images are cut.
        height, width: of the image in pixels.

    Attributes:
        rows, columns: numbers of tiles.

    Raises:
        ValueError: if the image is empty.

    Example:
        >>> tiles = ku.geometry.TileGeometry(tile=(64, 64), halo=8).tiles(1000, 500)
        >>> tiles.rows, tiles.columns, len(tiles)
        (21, 11, 231)
    """

    def __init__(self, geometry: TileGeometry, height: int, width: int) -> None:
        self.rows, self.columns = geometry.grid(height, width)
        self._xs = geometry.axis_tiles(width, 1)
        self._y = functools.lru_cache(maxsize=4)(lambda row: geometry.axis_tile(row, height, 0))

    def __len__(self) -> int:
        return self.rows * self.columns

    @overload
    def __getitem__(self, index: int) -> Tile: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tile]: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        row, column = divmod(index, self.columns)
        return Tile(index, self._y(row), self._xs[column])


def fade_in(position: int, length: int) -> float:
    """Raised-cosine ramp, sampled at pixel centres: rises from 0 to 1 over `length` pixels.

    `fade_in(p, n) + fade_in(n - 1 - p, n) == 1`, so two tiles that cross-fade add up to one.

    Example:
        >>> [round(ku.geometry.fade_in(position, 4), 3) for position in range(4)]
        [0.038, 0.309, 0.691, 0.962]
    """
    return 0.5 - 0.5 * math.cos(math.pi * (position + 0.5) / length)
