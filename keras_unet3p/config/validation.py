"""The checks of the configuration, and what they say of a value that is refused."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pydantic
import pydantic_core

from keras_unet3p.errors import InputError, ProblemsError, printable

_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "model_type": "a section of options",
    "dict_type": "a section of options",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
    "finite_number": ("finite", ""),
}


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A validator that takes None, where the field does, and values of a registry."""

    choices: tuple[Any, ...]

    def __call__(self, value: Any) -> Any:
        # Not `in` alone: 1 == True, and a file that says 1 does not say yes.
        if value is not None and not any(
            value == choice and type(value) is type(choice) for choice in self.choices
        ):
            raise pydantic_core.PydanticCustomError(
                "one_of", "must be one of {choices}", {"choices": list(self.choices)}
            )
        return value


class Checked(pydantic.BaseModel):
    """A frozen section of options, each with its description.

    Raises:
        InputError: an option is unknown, or its value is not accepted; all of them are told.
    """

    model_config = pydantic.ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    if not TYPE_CHECKING:  # type checkers take the signature from the fields

        def __init__(self, **options: Any) -> None:
            try:
                super().__init__(**options)
            except pydantic.ValidationError as error:
                raise _refusal(error, type(self)) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        # What `help` shows: plain types instead of pydantic's, and the options' descriptions.
        options = cls.model_fields
        cls.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=option.default,
                    annotation=option.annotation,
                )
                for name, option in options.items()
            ]
        )
        lines = [f"    {name}: {option.description}" for name, option in options.items()]
        cls.__doc__ = "\n".join([inspect.getdoc(cls) or "", "", "Attributes:", *lines])


def _refusal(error: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> InputError:
    problems: dict[str, list[Any]] = {}
    for problem in error.errors():
        problems.setdefault(str(problem["loc"][:1]), []).append(problem)
    lines = [_line(group, model) for group in problems.values()]
    if len(lines) == 1:
        return InputError(lines[0])
    return ProblemsError(f"{len(lines)} problems with the options", lines)


def _line(group: list[Any], model: type[pydantic.BaseModel]) -> str:
    """What is said of one option; pydantic has a problem for each type that it may have."""
    problem = group[0]
    name = str(problem["loc"][0]) if problem["loc"] else ""
    kind, context = problem["type"], problem.get("ctx", {})
    found = printable(repr(problem["input"]))
    if kind == "extra_forbidden":
        return unknown_name(name, model.model_fields)
    if kind == "missing":
        return f"{name} is missing"
    if not problem["loc"]:  # of several options together
        return printable(str(context.get("error", problem["msg"])))
    if len(group) > 1 or len(problem["loc"]) > 1:
        found = printable(repr(group[0]["input"]))
        return f"{name} must be of type {model.model_fields[name].annotation}, found {found}"
    if kind in _KINDS:
        return f"{name} must be {_KINDS[kind]}, found {found}"
    if kind in _BOUNDS:
        word, limit = _BOUNDS[kind]
        bound = f" {context[limit]:g}" if limit else ""
        return f"{name} must be {word}{bound}, found {found}"
    if kind == "callback":
        return f"{name}: {context['text']}"
    if kind == "loss":
        return f"{name} {context['text']}"
    if kind == "one_of":
        return f"{name} must be one of {context['choices']}, found {found}"
    return f"{name}: {problem['msg']}, found {found}"


def unknown_name(name: str, known: Collection[str]) -> str:
    """What is said of a name that is none of the options."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
    return f"'{printable(name)}' is no option{hint}"
