"""A part of a JSON file as a frozen value with typed entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic

from keras_unet3p.errors import InputError, printable

if TYPE_CHECKING:
    from typing_extensions import Self

Text = pydantic.InstanceOf[str]
"""A string of any characters: file names may hold bytes that are not UTF-8."""


class Section(pydantic.BaseModel):
    """A frozen part of a JSON file. Entries that it does not know are kept.

    An entry that was not given is not written either, so that a file of an earlier version stays
    as it is.

    Example:
        >>> class Size(Section):
        ...     height: int
        >>> size = Size.of({"height": 3, "unit": "mm"}, "size")
        >>> size.height, size.to_dict()
        (3, {'height': 3, 'unit': 'mm'})
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    @classmethod
    def of(cls, values: Mapping[str, Any], name: str) -> Self:
        """The section with these entries.

        Args:
            values: the entries.
            name: of the section, for the message.

        Raises:
            ValueError: an entry is missing or of another type; the message names it.
        """
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise InputError(f"{name}: {problem(error)}") from None

    def to_dict(self) -> dict[str, Any]:
        """The entries as values that JSON takes."""
        return self.model_dump(exclude_unset=True)


def problem(error: pydantic.ValidationError) -> str:
    """What is wrong with a section, in one line: everything that is missing, or the first entry.

    Example:
        >>> try:
        ...     Section.model_validate([])
        ... except pydantic.ValidationError as error:
        ...     problem(error)
        'expected a mapping of names to values'
    """
    problems = error.errors()
    missing = [_place(each) for each in problems if each["type"] == "missing"]
    if missing:
        return f"it lacks {', '.join(missing)}"
    first = problems[0]
    if first["type"] == "model_type":
        place = f"{_place(first)}: " if first["loc"] else ""
        return f"{place}expected a mapping of names to values"
    return printable(f"{_place(first)}: {first['msg']}, found {first['input']!r}"[:200])


def _place(found: Any) -> str:
    return repr(".".join(map(str, found["loc"])))
