"""What a tiler, an exporter or a pipeline needs to know of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_unet3p.errors import InputError
from keras_unet3p.geometry.tiles import FILLS

ACTIVATIONS = ("sigmoid", "softmax", None, "unknown")


def activation_to_apply(
    requested: str | None, declared: str | None, num_classes: int
) -> str | None:
    """What turns a network's output into probabilities; None where it gives them itself.

    Args:
        requested: "sigmoid", "softmax", None, or "auto", which goes by what is declared.
        declared: as `NetworkFacts.activation`.
        num_classes: channels of the output.

    Raises:
        ValueError: on another request.
    """
    if requested not in (None, "auto", "sigmoid", "softmax"):
        raise InputError(
            f"activation must be 'auto', None, 'sigmoid' or 'softmax', found {requested!r}"
        )
    if requested != "auto":
        return requested
    if declared is not None:
        return None
    return "sigmoid" if num_classes == 1 else "softmax"


@dataclass(frozen=True)
class NetworkFacts:
    """What a network takes, gives, and does to sizes; all sizes are pixels of the image.

    Args:
        channels: of an image.
        num_classes: channels of the mask.
        activation: what made the mask: "sigmoid", "softmax", None (it holds logits), or "unknown",
            which is taken to be probabilities.
        divisor, offset: heights and widths that fit are `divisor * k + offset`.
        minimum: the smallest of them; of a network that does not say, a lower bound.
        margin: pixels that the mask lacks on each side of the image; 0 for padded networks.
        grid: pixels between two places at which the network does the same: its largest pooling
            step. A part of an image gives what the whole one gives only if it begins on this grid.
        padding: how images of other sizes are filled on the right and below: "mirror" is up to the
            tiler, "zeros" does the network itself, up to the next multiple of `grid`.
        fixed_size: height and width where the network takes one size only.
        percentiles: those of each whole image by which its values are stretched before tiles of it
            go into the network; None for a network that takes unit values.
        is_raw: whether it takes values as they are stored, of any scale, instead of unit values.

    Raises:
        ValueError: an argument.

    Example:
        >>> NetworkFacts(3, 1, "sigmoid", divisor=16, minimum=16, grid=16).tile(1000)
        (992, 992)
    """

    channels: int
    num_classes: int
    activation: str | None = "unknown"
    divisor: int = 1
    offset: int = 0
    minimum: int = 1
    margin: int = 0
    grid: int = 1
    padding: str = "mirror"
    fixed_size: tuple[int, int] | None = None
    percentiles: tuple[float, float] | None = None
    is_raw: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "num_classes", "divisor", "minimum", "grid"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 <= self.offset < self.divisor or self.margin < 0:
            raise InputError(
                f"offset must be 0 to divisor - 1 and margin at least 0, found offset="
                f"{self.offset}, divisor={self.divisor}, margin={self.margin}"
            )
        if self.activation not in ACTIVATIONS:
            raise InputError(f"activation must be one of {ACTIVATIONS}, found {self.activation!r}")
        if self.padding not in FILLS:
            raise InputError(f"padding must be one of {FILLS}, found {self.padding!r}")

    def is_multi_label(self, activation: str | None = "auto") -> bool:
        """Whether classes may overlap: there are several, and each has a sigmoid of its own.

        Args:
            activation: what is applied to the output; see `activation_to_apply`.
        """
        applied = activation_to_apply(activation, self.activation, self.num_classes)
        return self.num_classes > 1 and (applied or self.activation) == "sigmoid"

    @property
    def tile_step(self) -> int:
        """Pixels between two sizes that the network takes without appending anything to them."""
        return math.lcm(self.divisor, self.grid) if self.padding == "zeros" else self.divisor

    @property
    def smallest_tile(self) -> int:
        """The smallest size of a tile."""
        return self.at_least(self.minimum)

    def at_most(self, size: int) -> int:
        """The largest size of a tile not above `size`; may be below the smallest."""
        return size - (size - self.offset) % self.tile_step

    def at_least(self, size: int) -> int:
        """The smallest size of a tile not below `size` and the minimum."""
        size = max(size, self.minimum)
        return size + (self.offset - size) % self.tile_step

    def tile(self, tile_size: int | tuple[int, int]) -> tuple[int, int]:
        """Height and width of the largest tile not above `tile_size`, a side or both.

        A network of one fixed size gets that size.

        Raises:
            ValueError: the network takes no tile that small.
        """
        if self.fixed_size is not None:
            return self.fixed_size
        wanted = (tile_size, tile_size) if isinstance(tile_size, int) else tuple(tile_size)
        height, width = (self.at_most(int(side)) for side in wanted)
        if min(height, width) < self.smallest_tile:
            raise InputError(
                f"tile_size: the model takes no tile of {wanted[0]}x{wanted[1]} pixels nor one a "
                f"little smaller; the smallest is {self.smallest_tile}x{self.smallest_tile}"
            )
        return height, width

    def whole(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the tile that shows an image of this size in one piece."""
        return self.at_least(height + 2 * self.margin), self.at_least(width + 2 * self.margin)
