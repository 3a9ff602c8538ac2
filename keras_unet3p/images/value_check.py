"""Whether images hold values such as the model was trained on."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.images.image_file import ImageFile
from keras_unet3p.images.image_values import ImageValues, ValuesWarning
from keras_unet3p.images.normalization import Normalization
from keras_unet3p.images.stored_values import StoredValues
from keras_unet3p.images.unit_values import divisor

# Held-out images of published sets (EM, DIC, fluorescence) stay within a factor of 1.2 of the
# others' range, and within 0.1 of it with their medians; one bit is a factor of 2, two are 4.
DRIFT = 1.5
NEW_TYPE = 2.0
NEW_BITS = 4.0
SHIFT = 0.2
_LOOKED_AT = 16


def check_files(
    files: Iterable[ImageFile], normalization: Normalization, *, accept_values: bool = False
) -> None:
    """Compare up to 16 images, evenly spread over the files, with those of the training.

    Args:
        files: image files; they are looked at before the work begins.
        normalization: of the model; where it tells no stored values, nothing is compared.
        accept_values: warn where a mismatch would be refused.

    Raises:
        ValueError: see `check_values`.

    Example:
        >>> np.save("image.npy", np.zeros((8, 8), np.uint8))
        >>> check_files([ImageFile("image.npy")], Normalization((0.5,), (0.2,)))
    """
    if not normalization.stored_values:
        return
    places = [(file, index) for file in files for index in range(len(file))]
    chosen = np.unique(np.linspace(0, len(places) - 1, _LOOKED_AT).astype(int)) if places else []
    values = [places[at][0].values(places[at][1]) for at in chosen]
    check_values(values, normalization, accept_values=accept_values)


def check_values(
    values: Sequence[ImageValues], normalization: Normalization, *, accept_values: bool = False
) -> None:
    """Compare images, taken together, with those of the training.

    In unit values, and with the training's range (its lowest 0.1 to its highest 99.9 percentile)
    as the measure:

    - refused are images of a stored type that the training had not, whose brightest is more than
      twice the training's, or less than half of the dimmest image there; and integers of 16 bits
      or more that are four times as bright as any of their type there, which takes two more bits;
    - with a warning, those whose brightest is 1.5 times the training's or 1.5 times below its
      dimmest image, and those whose medians or darkest values are all off by a fifth of the
      range.

    Raises:
        ValueError: they are refused. The message tells both ranges.

    Example:
        >>> bright = np.linspace(0, 255, 400).astype(np.uint8).reshape(20, 20)
        >>> values = ku.images.measure_values(bright, "image")
        >>> trained_on = Normalization((0.5,), (0.2,), stored_values=StoredValues.of([values]))
        >>> check_values([values], trained_on)
    """
    for found in StoredValues.of(values):
        finding = compare_values(found, normalization)
        if finding is None:
            continue
        if finding.refused and not accept_values:
            raise InputError(
                f"images: {finding.text}. Store the images as those of the training are stored, or "
                "go on all the same with accept_values=True (--accept-values)"
            )
        warnings.warn(f"images: {finding.text}", ValuesWarning, stacklevel=3)


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """What is amiss with stored values, and whether beyond doubt."""

    text: str
    refused: bool


def compare_values(found: StoredValues, normalization: Normalization) -> Mismatch | None:
    """`check_values` for images of one stored type."""
    trained = normalization.stored_values
    same = [each for each in trained if each.dtype == found.dtype]
    known = [_in_units(each, normalization.value_scale) for each in same or trained]
    if not known:
        return None
    here = _in_units(found, normalization.value_scale)
    low, high = min(each.low[0] for each in known), max(each.high[1] for each in known)
    size = high - low
    if size <= 0:
        return None
    brighter = (here.high[1] - low) / size
    dimmest = min(each.high[0] for each in known) - low
    dimmer = dimmest / max(here.high[1] - low, 1e-6 * size)
    factor, word = max((brighter, "brighter"), (dimmer, "dimmer"))
    if factor >= DRIFT:
        bound = NEW_TYPE
        if same:
            bits = np.dtype(found.dtype).kind in "iu" and np.dtype(found.dtype).itemsize > 1
            bound = NEW_BITS if bits and word == "brighter" else np.inf
        text = f"{factor:.3g} times {word} than in training: {_both(found, trained)}"
        return Mismatch(text, factor >= bound)
    shift = max(
        here.median[0] - max(each.median[1] for each in known),
        min(each.median[0] for each in known) - here.median[1],
        here.low[0] - max(each.low[1] for each in known),
        low - here.low[1],
    )
    if shift >= SHIFT * size:
        text = f"shifted by {shift / size:.0%} of the training's range: {_both(found, trained)}"
        return Mismatch(text, False)
    return None


def _both(found: StoredValues, trained: Sequence[StoredValues]) -> str:
    return f"{found}, median {_range(found.median)}; in training " + ", ".join(
        f"{each}, median {_range(each.median)}" for each in trained
    )


def _range(span: tuple[float, float]) -> str:
    return f"{span[0]:g}" if span[0] == span[1] else f"{span[0]:g} to {span[1]:g}"


def _in_units(values: StoredValues, value_scale: str) -> StoredValues:
    scale = divisor(np.dtype(values.dtype), value_scale)
    spans = {
        name: tuple(end / scale for end in getattr(values, name))
        for name in ("low", "median", "high")
    }
    return dataclasses.replace(values, **spans)
