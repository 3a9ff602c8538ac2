"""Which versions of a model are served."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class VersionPolicy:
    """The newest versions, and named ones besides.

    Args:
        newest: how many of the newest versions; None is all versions.
        named: numbers of versions to serve in any case.
    """

    newest: int | None = 1
    named: frozenset[int] = frozenset()

    def choose(self, versions: Iterable[int]) -> tuple[set[int], set[int]]:
        """Returns the newest of the given versions, and those of them that are named."""
        falling = sorted(versions, reverse=True)
        return set(falling[: self.newest]), set(falling) & self.named

    def __str__(self) -> str:
        named = ", ".join(map(str, sorted(self.named)))
        if self.newest == 0:
            return f"versions {named}"
        newest = "all versions" if self.newest is None else f"newest versions: {self.newest}"
        return f"{newest}, and {named}" if named else newest
