"""The loss of a configuration: a name, or a weighted sum of names."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import pydantic_core

from keras_unet3p.config.choices import LOSSES
from keras_unet3p.errors import printable

_TERM = re.compile(r"(?:(?P<weight>\d+\.?\d*|\.\d+)\*)?(?P<name>[a-z_]+)")


class LossTerm(NamedTuple):
    """A loss of a sum by its name in `LOSSES`, and its weight.

    Example:
        >>> LossTerm("dice", 0.5).weight
        0.5
    """

    name: str
    weight: float = 1.0


def loss_terms(text: str) -> tuple[LossTerm, ...]:
    """The losses that a sum names.

    Args:
        text: names of `LOSSES` between plus signs, each with a weight before it or not:
            `"focal"`, `"dice+focal"`, `"0.5*dice+focal"`.

    Raises:
        pydantic_core.PydanticCustomError: it is no such sum; it is a ValueError.

    Example:
        >>> loss_terms("0.5*dice+focal")
        (LossTerm(name='dice', weight=0.5), LossTerm(name='focal', weight=1.0))
    """
    terms = []
    for part in re.sub(r"\s", "", text).split("+"):
        found = _TERM.fullmatch(part)
        if found is None or found["name"] not in LOSSES:
            raise _refusal(
                f"must be one of {['auto', *LOSSES]}, or a sum of them such as 0.5*dice+focal, "
                f"found {printable(repr(text))}"
            )
        weight = float(found["weight"] or 1)
        if not 0 < weight < math.inf:
            raise _refusal(f"must have weights above 0, found {printable(repr(part))}")
        terms.append(LossTerm(found["name"], weight))
    names = [term.name for term in terms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _refusal(f"must name each loss once, found {twice} twice in {printable(repr(text))}")
    return tuple(terms)


class LossSum:
    """A validator that takes "auto" and the sums of `loss_terms`; spaces go.

    Example:
        >>> LossSum()("0.5 * dice + focal")
        '0.5*dice+focal'
    """

    choices = ("auto", *LOSSES, "SUM")

    def __call__(self, value: object) -> object:
        if isinstance(value, str) and value != "auto":
            loss_terms(value)
            return re.sub(r"\s", "", value)
        return value


def _refusal(text: str) -> pydantic_core.PydanticCustomError:
    return pydantic_core.PydanticCustomError("loss", "{text}", {"text": text})
