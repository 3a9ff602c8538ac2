"""How much of a long job is done: a bar in a terminal, lines in a log."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from rich.console import Console

Report = Callable[[int, int], object]
"""Called with how many steps are done, and how many there are."""
Progress = Union[bool, Report, "Console"]
"""Yes, no, who is told, or where to write."""

SECONDS_BETWEEN_LINES = 30.0  # in a log


@contextlib.contextmanager
def reporting(
    progress: Progress,
    total: int,
    what: str,
    *,
    console: Console | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Report]:
    """Give a function that is told of each step.

    Args:
        progress: True shows a bar on the standard error stream, with the time that is left, or,
            where it is no terminal, a line at most every 30 seconds and one at the end. False shows
            nothing. A function is called in its place, and a console is written to.
        total: number of steps.
        what: the job, a word or two.
        console: where to write in place of the standard error stream.
        clock: gives the time in seconds.

    Example:
        >>> show = lambda done, total: print(f"{done} of {total}")
        >>> with reporting(show, 2, "counting") as report:
        ...     report(1, 2)
        1 of 2
    """
    if callable(progress):
        yield progress
        return
    if progress is False:
        yield lambda done, total: None
        return
    # Not above: the client, which other machines install, shows nothing by default.
    from rich.console import Console
    from rich.progress import Progress as Bar

    if not isinstance(progress, bool):
        console = progress
    console = console or Console(stderr=True)
    if console.is_terminal:
        with Bar(console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        yield _lines(console, what, clock)


def _lines(console: Console, what: str, clock: Callable[[], float]) -> Report:
    began = told = clock()
    has_ended = False

    def report(done: int, total: int) -> None:
        nonlocal told, has_ended
        now = clock()
        if has_ended or (done < total and now - told < SECONDS_BETWEEN_LINES):
            return
        told, has_ended = now, done >= total
        left = time_left((now - began) / done * (total - done) if 0 < done < total else math.nan)
        line = f"{what}  {done}/{total}  {done / max(total, 1):.0%}  {left}"
        console.print(line.rstrip(), highlight=False, soft_wrap=True)

    return report


def time_left(seconds: float) -> str:
    """As words; none if it is not a number.

    Example:
        >>> time_left(3723.4)
        '1:02:03 left'
    """
    if math.isnan(seconds):
        return ""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d} left"
