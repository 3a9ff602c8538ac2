"""A JSON file that one class writes and reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pydantic

from keras_unet3p.artifacts.section import Section, problem
from keras_unet3p.errors import InputError
from keras_unet3p.files import check_format, printable, reason, write_json

if TYPE_CHECKING:
    from typing_extensions import Self


class JsonArtifact(Section):
    """A section that has a file of its own, with the number of the file's format in it.

    A file of a newer format is refused. Files of earlier versions had no number; they count as
    format 1.

    Example:
        >>> import pathlib, tempfile
        >>> class Note(JsonArtifact):
        ...     text: str
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "note.json")
        ...     Note(text="two cells").write(path)
        ...     Note.read(path).text
        'two cells'
    """

    FORMAT: ClassVar[int] = 1
    """The newest format, which is the one that is written."""
    WAY_OUT: ClassVar[str] = "restore it from a copy"
    """What can be done about a damaged file."""

    format: int = 1
    """The number of the format."""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """The content of a file.

        Raises:
            ValueError: the file is damaged or of a newer format; the message names it.
            OSError: it cannot be opened.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:  # no JSON, or no text at all
            raise cls.damaged(path, f"{type(error).__name__}: {reason(error)}") from None
        if isinstance(content, dict) and "format" in content:
            check_format(path, content["format"], cls.FORMAT)
        try:
            return cls.model_validate(content)
        except pydantic.ValidationError as error:
            raise cls.damaged(path, problem(error)) from None

    @classmethod
    def damaged(cls, path: Path, what: str) -> InputError:
        """The error that says what is wrong with a file, and the way out."""
        return InputError(f"{printable(path)} is damaged ({what}); {cls.WAY_OUT}")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file atomically; see `files.replacing`."""
        write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The file's content as values that JSON takes."""
        entries = super().to_dict()
        entries.pop("format", None)
        return {"format": self.FORMAT, **entries}
