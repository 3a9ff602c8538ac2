"""Files of JSON, entry by entry; what is wrong with them is told at once."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from keras_unet3p.errors import InputError, ProblemsError
from keras_unet3p.files import printable, reason

_Entry = TypeVar("_Entry", bound="Entry")


class Entry(pydantic.BaseModel):
    """An entry of a file: the fields that are used, the others are passed over."""

    model_config = pydantic.ConfigDict(allow_inf_nan=False, frozen=True)

    @classmethod
    def of(cls: type[_Entry], value: Any) -> _Entry:
        """The entry of a JSON value.

        Raises:
            ValueError: a field is missing or of another kind; the first one is told.
        """
        try:
            return cls.model_validate(value)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{where}: {first['msg']}" if where else first["msg"]) from None


class Problems:
    """Collects what is wrong with the entries of a file.

    Args:
        path: the file, for the messages.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self.found: list[str] = []

    @contextlib.contextmanager
    def entry(self, name: str) -> Iterator[None]:
        """Context of one entry; its InputError becomes a line."""
        try:
            yield
        except InputError as error:
            self.found.append(f"{printable(self.path)}, {name}: {error}")

    def check(self) -> None:
        """Raise a `ProblemsError` if there is any."""
        if self.found:
            raise ProblemsError(f"{printable(self.path)} cannot be converted", self.found)


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is no JSON in UTF-8, or nested too deeply.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{printable(path)}: is no JSON ({reason(error)})") from error
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read ({reason(error)})") from error


def list_of(value: Any, what: str) -> list[Any]:
    """The value if it is a list.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, list):
        raise InputError(f"{what} is no list")
    return value


def file_name(path: str) -> str:
    """The last part of a path as it is written on any system."""
    return path.replace("\\", "/").rpartition("/")[2]
