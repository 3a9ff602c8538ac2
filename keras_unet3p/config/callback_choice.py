"""A Keras callback in the configuration: its import path and its arguments."""

from __future__ import annotations

import json
import re
from typing import Any

import pydantic
import pydantic_core

from keras_unet3p.errors import printable

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_SHAPE = "expected its import path, or a mapping of 'name' and 'arguments'"


class CallbackChoice(pydantic.BaseModel):
    """A callback of a training run, or what makes one.

    Example:
        >>> CallbackChoice(name="keras.callbacks.CSVLogger", arguments={"filename": "log.csv"}).name
        'keras.callbacks.CSVLogger'
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    """Its import path, `keras.callbacks.CSVLogger` say."""
    arguments: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Those of its constructor, as JSON takes them."""


def callback_choices(value: Any) -> list[CallbackChoice]:
    """The callbacks of a configuration: import paths, or mappings of `name` and `arguments`.

    Raises:
        pydantic_core.PydanticCustomError: the value is something else.

    Example:
        >>> callback_choices(["my_tracking.logger"])
        [CallbackChoice(name='my_tracking.logger', arguments={})]
    """
    if not isinstance(value, list | tuple):
        raise _refusal("expected a list of callbacks")
    return [_choice(item) for item in value]


def _choice(item: Any) -> CallbackChoice:
    if isinstance(item, CallbackChoice):
        return item
    if isinstance(item, str):
        item = {"name": item}
    if not isinstance(item, dict) or not {"name"} <= set(item) <= {"name", "arguments"}:
        raise _refusal(f"{printable(repr(item))} is no callback; {_SHAPE}")
    name, arguments = item["name"], item.get("arguments")
    arguments = {} if arguments is None else arguments
    if not isinstance(name, str) or not _PATH.fullmatch(name):
        raise _refusal(
            f"name {printable(repr(name))} is no import path, as keras.callbacks.CSVLogger is"
        )
    if not isinstance(arguments, dict) or not all(isinstance(key, str) for key in arguments):
        raise _refusal(
            f"arguments of {name} are {printable(repr(arguments))}; expected a mapping of names"
        )
    try:
        stored = json.loads(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError):
        stored = None
    if stored != arguments:
        raise _refusal(
            f"arguments of {name} are {printable(repr(arguments))}; expected numbers, texts, lists "
            "and mappings, which the run's record keeps"
        )
    return CallbackChoice(name=name, arguments=arguments)


def _refusal(text: str) -> pydantic_core.PydanticCustomError:
    return pydantic_core.PydanticCustomError("callback", "{text}", {"text": text})
