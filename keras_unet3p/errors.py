"""Errors for users: about arguments, files and systems, not about mistakes in this package."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator, Sequence

# Categories of characters that a terminal does not show as themselves: control characters, format
# characters (some reverse the direction of writing), separators of lines and paragraphs, and the
# surrogates with which Python stores bytes that are not UTF-8.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


class UserError(Exception):
    """The base class of errors that the user can correct. The message tells how.

    The command `unet3p` prints such an error in one line; other errors keep their traceback.

    Example:
        >>> issubclass(InputError, UserError) and issubclass(InputError, ValueError)
        True
    """

    # Without this AutoGraph replaces errors of classes that are not built in by its own.
    ag_pass_through = True


class InputError(UserError, ValueError):
    """An argument or a file that is not accepted.

    The message names it, what was found and what is accepted.

    Example:
        >>> try:
        ...     raise InputError("depth must be at least 1, found 0")
        ... except ValueError as error:
        ...     print(error)
        depth must be at least 1, found 0
    """


class WorkerLostError(UserError, RuntimeError):
    """Another process of a training on several machines has ended, or cannot be reached.

    Example:
        >>> issubclass(WorkerLostError, UserError)
        True
    """


class ProblemsError(InputError):
    """Several problems of an input, one per line.

    The lines are `printable`, so no file name can break a line or imitate another one.

    Args:
        heading: the first line, without a line break.
        problems: one line per problem.

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


def first_of(problems: Sequence[str], most: int = 10) -> list[str]:
    """The first problems, and how many more there are.

    Example:
        >>> first_of(["a", "b", "c"], most=1)
        ['a', 'and 2 more']
    """
    more = len(problems) - most
    return [*problems[:most], *([f"and {more} more"] if more > 0 else [])]


def printable(name: str | os.PathLike[str]) -> str:
    """Return a file name (or other text from outside) as one line without control characters.

    File names may contain anything: escape sequences for the terminal, line breaks, bytes that are
    not UTF-8. These are written as in a Python string. To print the result with rich, pass it as
    `rich.text.Text` or escape its markup too.

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


# The client's distribution holds this file under its own name, which is its import package's too.
_DISTRIBUTION = __name__.partition(".")[0]
_PACKAGES_OF_EXTRAS = {
    "annotations": {"pycocotools"},
    "bioimageio": {"bioimageio"},
    "cluster": {"dask", "distributed", "zarr"},
    "grpc": {"google", "grpc"},
    "instances": {"scipy"},  # of the client's distribution; the package itself always has it
    "remote": {"fsspec"},
    "serving": {
        "google",
        "grpc",
        "grpc_health",
        "requests",
        "starlette",
        "tensorflow_serving",
        "uvicorn",
    },
    "zarr": {"zarr"},
    "medical": {"nibabel", "pydicom", "highdicom"},
    "slides": {"imagecodecs", "tiffslide"},
}


class MissingExtraError(UserError, ModuleNotFoundError):
    """A package of an extra is not installed; the message names the extra.

    Example:
        >>> isinstance(MissingExtraError("no grpc"), ImportError)
        True
    """


@contextlib.contextmanager
def needing(extra: str, name: str) -> Iterator[None]:
    """Context in which a missing package of an extra raises an error that says how to get it.

    Args:
        extra: "annotations", "bioimageio", "cluster", "grpc", "instances", "medical", "remote",
            "serving", "slides" or "zarr".
        name: the object that needs the package, such as "client.Client".

    Raises:
        MissingExtraError: a package of the extra is not installed.

    Example:
        >>> with needing("serving", "client.Client"):
        ...     import requests
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _PACKAGES_OF_EXTRAS[extra]:
            raise
        raise MissingExtraError(
            f"{_DISTRIBUTION}.{name} needs the package {missing!r}, which comes with the "
            f'extra "{extra}": pip install "{_DISTRIBUTION}[{extra}]"',
            name=error.name,
        ) from error
