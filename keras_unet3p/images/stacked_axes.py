"""From the named axes of an array to its planes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from keras_unet3p.errors import InputError

CHANNELS = "cs"
"""Axes that are within an image, as its channels: channels, and samples of a colour."""


@dataclasses.dataclass(frozen=True)
class StackedAxes:
    """Which axis of an array is what: rows, columns, channels, and those along which planes lie.

    Args:
        names: a letter for each axis.
        shape: of the array.
        label: of the file, for messages.
        outermost: of the axes along which planes lie, one that comes first; else their own order.

    Raises:
        ValueError: names and shape do not go together, or rows or columns are missing.

    Example:
        >>> axes = StackedAxes("tczyx", (2, 3, 5, 80, 90), "a.zarr")
        >>> axes.height, axes.stacked, len(list(axes.places())), axes.is_volume
        (80, 'tz', 10, True)
    """

    names: str
    shape: Sequence[int]
    label: str
    outermost: str = ""

    def __post_init__(self) -> None:
        if len(self.names) != len(self.shape):
            shape = " x ".join(map(str, self.shape))
            raise InputError(
                f"{self.label}: axes {self.names!r} for an array of {shape}; expected a letter "
                "for each axis (--axes)"
            )
        if "y" not in self.names or "x" not in self.names:
            raise InputError(f"{self.label}: axes {self.names!r}; expected y and x among them")

    @property
    def height(self) -> int:
        return self.shape[self.names.index("y")]

    @property
    def width(self) -> int:
        return self.shape[self.names.index("x")]

    @property
    def channels(self) -> int:
        count = 1
        for name, size in zip(self.names, self.shape, strict=True):
            count *= size if name in CHANNELS else 1
        return count

    @property
    def stacked(self) -> str:
        """The axes along which planes lie, outermost first."""
        stacked = [name for name in self.names if name not in f"yx{CHANNELS}"]
        return "".join(sorted(stacked, key=lambda name: name != self.outermost))

    @property
    def is_volume(self) -> bool:
        """Whether the planes are slices or frames, of which neighbours are alike."""
        return any(self.shape[self.names.index(name)] > 1 for name in self.stacked)

    def places(self) -> Iterator[dict[str, int]]:
        """Where each plane lies along the stacked axes, in order."""
        sizes = [self.shape[self.names.index(name)] for name in self.stacked]
        for place in itertools.product(*map(range, sizes)):
            yield dict(zip(self.stacked, place, strict=True))

    def volume_of(self, place: dict[str, int]) -> str:
        """Names the volume of a plane: slices of one differ in the innermost stacked axis only."""
        return " ".join(f"{name}{place[name]}" for name in self.stacked[:-1])

    def key(self, place: dict[str, int], rows: slice, columns: slice) -> tuple[int | slice, ...]:
        """What selects a window of a plane, with all channels."""
        within = {"y": rows, "x": columns, **dict.fromkeys(CHANNELS, slice(None))}
        return tuple({**within, **place}[name] for name in self.names)

    def order(self) -> list[int]:
        """How the axes of what `key` selects become rows, columns, channels."""
        kept = [name for name in self.names if name in f"yx{CHANNELS}"]
        return [kept.index(name) for name in f"yx{CHANNELS}" if name in kept]
