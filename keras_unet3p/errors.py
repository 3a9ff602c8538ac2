"""What a user is told of what the user can mend."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

# Categories of characters that a terminal or a table does not show as themselves: control, format
# (among them those that reverse the direction of writing), line and paragraph separators, and the
# surrogates by which Python keeps bytes that are not UTF-8.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


class UserError(Exception):
    """What was asked for cannot be done, and the message says why; not a mistake of this package.

    The command `unet3p` prints these in one line, and whatever else is raised with its traceback.

    Example:
        >>> issubclass(InputError, UserError) and issubclass(InputError, ValueError)
        True
    """

    # AutoGraph makes errors of other than the built-in classes its own, and their class is lost.
    ag_pass_through = True


class InputError(UserError, ValueError):
    """An argument or a file is not acceptable.

    The message names it, what was found and what is accepted.

    Example:

    >>> try:
    ...     raise InputError("depth must be at least 1, found 0")
    ... except ValueError as error:
    ...     print(error)
    depth must be at least 1, found 0
    """


class ProblemsError(InputError):
    """Several things are wrong with what was given, each told on a line of its own.

    The lines are printable: none of the names in them breaks one or forges another.

    Args:
        heading: what they are problems of; without a line break.
        problems: a line each.

    Example:
        >>> problems = ["a.png: it is empty", "b.png: no image"]
        >>> print(ProblemsError("2 of 3 files cannot be read", problems))
        2 of 3 files cannot be read:
          - a.png: it is empty
          - b.png: no image
    """

    def __init__(self, heading: str, problems: Sequence[str]) -> None:
        super().__init__(heading, list(problems))
        self.heading, self.problems = heading, list(problems)

    def __str__(self) -> str:
        lines = [f"{self.heading}:", *(f"  - {problem}" for problem in self.problems)]
        return "\n".join(printable(line) for line in lines)


def printable(name: str | os.PathLike[str]) -> str:
    """A file name (or another foreign text) as it may be printed: one line, no control characters.

    File names hold what their authors wish: escape sequences that reach the terminal, line breaks
    that forge lines of a report, bytes that are not UTF-8. All of these are written as in a Python
    string. To print the result with rich, give it as `rich.text.Text` or escape its markup too.

    Example:
        >>> print(printable("cells" + chr(10) + "a.png"))
        cells\\na.png
    """
    text = os.fspath(name)
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )
