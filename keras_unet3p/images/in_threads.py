"""The same for many files, by threads: most of the time goes into waiting for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], at_once: int | None = None
) -> list[Result]:
    """What a function gives for each item, in their order; the first error is raised.

    Args:
        function: may be called by several threads at a time.
        items: what it is called with.
        at_once: number of threads; None for one for each processor.

    Example:
        >>> in_threads(len, ["a", "bb"])
        [1, 2]
    """
    items = list(items)
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(at_once or os.cpu_count()) as pool:
        return list(pool.map(function, items))
