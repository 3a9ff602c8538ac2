"""Errors that say several things."""

from __future__ import annotations

from collections.abc import Sequence

from keras_unet3p.files import printable


class ProblemsError(ValueError):
    """Several things are wrong with what was given, each told on a line of its own.

    The lines are printable: none of the names in them breaks one or forges another.

    Args:
        heading: what they are problems of; without a line break.
        problems: a line each.
    """

    def __init__(self, heading: str, problems: Sequence[str]) -> None:
        super().__init__(heading, list(problems))
        self.heading, self.problems = heading, list(problems)

    def __str__(self) -> str:
        lines = [f"{self.heading}:", *(f"  - {problem}" for problem in self.problems)]
        return "\n".join(printable(line) for line in lines)
