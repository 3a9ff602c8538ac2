"""Pixels that lie in several arrays, or in more channels than are wanted, as one array."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class StackedChannels:
    """Arrays of one shape and type as one array with an axis of channels behind theirs.

    Nothing is read before a window is asked for, and then that window of each.

    Attributes:
        channels: the arrays, or anything that is sliced as one.

    Example:
        >>> stacked = StackedChannels((np.zeros((4, 5)), np.ones((4, 5))))
        >>> stacked.shape, stacked[2, 1:3].tolist()
        ((4, 5, 2), [[0.0, 1.0], [0.0, 1.0]])
    """

    channels: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.channels[0].shape, len(self.channels))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.channels[0].dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.stack([np.asarray(channel[index]) for channel in self.channels], axis=-1)


@dataclasses.dataclass(frozen=True)
class FirstChannels:
    """An array without what is behind the first channels of its last axis.

    Attributes:
        data: the array, or anything that is sliced as one, except along its last axis.
        count: of the channels.

    Example:
        >>> colour = FirstChannels(np.zeros((4, 5, 4)), 3)
        >>> colour.shape, colour[1:, 2:].shape
        ((4, 5, 3), (3, 3, 3))
    """

    data: Any
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.data.shape[:-1], self.count)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.data.dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self.data[index])[..., : self.count]
