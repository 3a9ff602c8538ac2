"""The Keras callbacks that a configuration names, for experiment tracking say."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.config import CallbackChoice
from keras_unet3p.errors import InputError, UserError, printable

RUN_PLACE = "{run}"
"""Stands for the run folder in the arguments' texts."""


class CallbackError(UserError, RuntimeError):
    """A callback of the user's choice has failed, during the training.

    Example:
        >>> issubclass(CallbackError, RuntimeError)
        True
    """


def check_callbacks(choices: Sequence[CallbackChoice]) -> None:
    """See that callbacks can be imported and take their arguments, before anything else is done.

    Raises:
        ValueError: naming the callback: what could not be found, or which arguments there are.

    Example:
        >>> check_callbacks([CallbackChoice(name="keras.callbacks.CSVLogger")])
        Traceback (most recent call last):
            ...
        keras_unet3p.errors.InputError: callbacks: keras.callbacks.CSVLogger: missing a required ...
    """
    for choice in choices:
        _check_arguments(choice, _found(choice))


def make_callbacks(
    choices: Sequence[CallbackChoice], run: Path, strategy: tf.distribute.Strategy | None = None
) -> list[keras.callbacks.Callback]:
    """Make the callbacks of a run; of several workers the chief's only.

    What they raise during the training becomes a `CallbackError` with their name.

    Args:
        choices: import paths of callbacks, or of functions that return one, and their arguments.
        run: the run folder, which `{run}` in a text among the arguments stands for.
        strategy: the run's. Workers that are not its chief get no callbacks.

    Raises:
        ValueError: see `check_callbacks`; or a callback cannot be made, or is none.

    Example:
        >>> import pathlib
        >>> choice = CallbackChoice(
        ...     name="keras.callbacks.CSVLogger", arguments={"filename": "{run}/log.csv"}
        ... )
        >>> logger, = make_callbacks([choice], pathlib.Path("runs/cells"))
        >>> logger.filename
        'runs/cells/log.csv'
    """
    if strategy is not None and not getattr(strategy.extended, "should_save_summary", True):
        return []
    return [_made(choice, run) for choice in choices]


def _made(choice: CallbackChoice, run: Path) -> keras.callbacks.Callback:
    found = _found(choice)
    _check_arguments(choice, found)
    try:
        callback = found(**_with_run(choice.arguments, str(run)))
    except UserError:
        raise
    except Exception as error:
        raise InputError(
            f"callbacks: {choice.name} cannot be made: {type(error).__name__}: "
            f"{printable(str(error))}"
        ) from error
    if not isinstance(callback, keras.callbacks.Callback):
        raise InputError(
            f"callbacks: {choice.name} gives {_kind(callback)}; expected a keras.callbacks.Callback"
        )
    return _named(callback, choice.name)


def _found(choice: CallbackChoice) -> Callable[..., Any]:
    """What the import path names: a class of callbacks, or a function that returns one."""
    parts = choice.name.split(".")
    module, rest = None, parts
    for end in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:end])
        try:
            module, rest = importlib.import_module(name), parts[end:]
            break
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if name != missing and not name.startswith(f"{missing}."):
                raise InputError(
                    f"callbacks: {choice.name} needs {missing!r}, which is not installed"
                ) from error
        except Exception as error:
            raise InputError(
                f"callbacks: importing {name} failed: {type(error).__name__}: "
                f"{printable(str(error))}"
            ) from error
    if module is None:
        raise InputError(
            f"callbacks: {choice.name}: no module {parts[0]!r} is installed"
            if len(parts) > 1
            else f"callbacks: {choice.name} is no import path; keras.callbacks.{choice.name} is one"
        )
    found: Any = module
    for at, part in enumerate(rest):
        try:
            found = getattr(found, part)
        except Exception as error:  # a lazy module may want a package
            where = ".".join(parts[: len(parts) - len(rest) + at])
            raise InputError(
                f"callbacks: {choice.name}: {where} has no {part!r}"
                + ("" if isinstance(error, AttributeError) else f" ({printable(str(error))})")
            ) from error
    if inspect.isclass(found) and not issubclass(found, keras.callbacks.Callback):
        raise InputError(
            f"callbacks: {choice.name} is no keras.callbacks.Callback, but a class of "
            f"{', '.join(base.__name__ for base in found.__mro__[1:])}"
        )
    if not callable(found):
        raise InputError(
            f"callbacks: {choice.name} is {_kind(found)}; expected a class of callbacks, or a "
            "function that returns one"
        )
    return found


def _check_arguments(choice: CallbackChoice, found: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # of compiled code
        return
    try:
        signature.bind(**choice.arguments)
    except TypeError as error:
        raise InputError(
            f"callbacks: {choice.name}: {error}; its arguments are {signature}"
        ) from None


def _with_run(value: Any, run: str) -> Any:
    if isinstance(value, str):
        return value.replace(RUN_PLACE, run)
    if isinstance(value, list):
        return [_with_run(item, run) for item in value]
    if isinstance(value, dict):
        return {name: _with_run(item, run) for name, item in value.items()}
    return value


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"


def _named(callback: keras.callbacks.Callback, name: str) -> keras.callbacks.Callback:
    """The callback; what its own hooks raise tells its name."""
    for hook in dir(keras.callbacks.Callback):
        if not hook.startswith("on_"):
            continue
        own, default = getattr(type(callback), hook), getattr(keras.callbacks.Callback, hook)
        # Keras calls no hook of a batch that a callback has not.
        if own is not default or hook in vars(callback):
            setattr(callback, hook, _guarded(getattr(callback, hook), name, hook))
    return callback


def _guarded(method: Callable[..., Any], name: str, hook: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except UserError:
            raise
        except Exception as error:
            raise CallbackError(
                f"callbacks: {name} failed in {hook}: {type(error).__name__}: "
                f"{printable(str(error))}. The finished epochs are kept: the same command goes on, "
                "with or without the callback"
            ) from error

    return call
