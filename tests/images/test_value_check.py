from __future__ import annotations

import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_unet3p import images
from keras_unet3p.images.image_values import measure_values

RNG = np.random.default_rng(7)
UNIT = RNG.beta(2, 3, (4, 60, 70, 1))


def drawn(dtype, largest, low=0.0, unit=UNIT):
    return [(low + image * (largest - low)).astype(dtype) for image in unit]


def trained_on(*stored, value_scale="dtype"):
    values = [measure_values(image, "a") for image in stored]
    return images.Normalization((0.3,), (0.2,), value_scale, images.StoredValues.of(values))


def check(found, normalization, **options):
    values = [measure_values(image, "a") for image in found]
    images.check_values(values, normalization, **options)


EIGHT = drawn(np.uint8, 255)
TWELVE = drawn(np.uint16, 4095)
FULL = drawn(np.uint16, 65535)


@pytest.mark.parametrize(
    ("trained", "found", "word"),
    [
        (TWELVE, EIGHT, r"16\S* times brighter"),
        (EIGHT, TWELVE, r"dimmer"),
        (EIGHT, drawn(np.uint16, 1023), r"dimmer"),
        (EIGHT, drawn(np.uint16, 16383), r"dimmer"),
        (TWELVE, FULL, r"16\S* times brighter"),
        (drawn(np.uint16, 1023), drawn(np.uint16, 16383), r"16\S* times brighter"),
    ],
)
def test_another_depth_is_refused_with_both_ranges(trained, found, word):
    with pytest.raises(ValueError, match=word) as error:
        check(found, trained_on(*trained))
    text = str(error.value)
    for stored in (trained, found):
        spans = images.StoredValues.of([measure_values(image, "a") for image in stored])
        assert f"{spans[0].dtype} values from {spans[0].low[0]:g} to {spans[0].high[1]:g}" in text
    assert "accept_values=True (--accept-values)" in text
    with pytest.warns(images.ValuesWarning, match=word):
        check(found, trained_on(*trained), accept_values=True)


@pytest.mark.parametrize(
    ("trained", "found", "word"),
    [
        (drawn(np.uint8, 120), EIGHT, r"2\S* times brighter"),
        (EIGHT, drawn(np.uint8, 120), r"2\S* times dimmer"),
        (TWELVE, drawn(np.uint16, 8191), r"2\S* times brighter"),
        (FULL, TWELVE, r"\d\d\S* times dimmer"),
        (EIGHT, drawn(np.uint8, 255, low=110), r"shifted by \d\d%"),
    ],
)
def test_a_drift_is_told_with_numbers(trained, found, word):
    with pytest.warns(images.ValuesWarning, match=f"{word}.*in training") as warned:
        check(found, trained_on(*trained))
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("trained", "found"),
    [
        (EIGHT, FULL),
        (EIGHT, drawn(np.uint8, 200)),
        (EIGHT, drawn(np.float32, 1)),
        (EIGHT + TWELVE, TWELVE),
        (TWELVE, [*TWELVE[:1], np.zeros((60, 70, 1), np.uint16)]),
        (EIGHT, [*EIGHT[:2], np.full((60, 70, 1), 3, np.uint8)]),
        ([np.zeros((9, 9, 1), np.uint8)], EIGHT),
    ],
)
def test_nothing_is_said_of_what_fits(trained, found):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(found, trained_on(*trained))
        check(found, images.Normalization((0.3,), (0.2,)))  # that tells no stored values


def test_raw_values_are_compared_as_they_are():
    trained = trained_on(*drawn(np.float32, 4095), value_scale="raw")
    with pytest.raises(ValueError, match="dimmer"):
        check(EIGHT, trained)


@hypothesis.given(
    bits=st.integers(8, 16),
    other=st.integers(8, 16),
    gain=st.floats(0.8, 1.0),
    seed=st.integers(0, 9),
)
def test_two_bits_are_never_silent_and_none_are_no_mismatch(bits, other, gain, seed):
    def made(depth, scale, generator):
        kind = np.uint8 if depth == 8 else np.uint16
        return drawn(kind, scale * (2**depth - 1), unit=generator.beta(2, 3, (2, 30, 30, 1)))

    rng = np.random.default_rng(seed)
    # What 8 bits fill, 16 bits fill: both are divided by their type's maximum.
    apart = abs((16 if bits == 8 else bits) - (16 if other == 8 else other))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check(made(other, gain, rng), trained_on(*made(bits, 1.0, rng)), accept_values=True)
    if apart != 1:
        assert bool(said) == (apart >= 2)


def test_a_sample_of_the_files_is_looked_at(tmp_path):
    for number in range(40):
        np.save(tmp_path / f"{number:02d}.npy", EIGHT[number % 4])
    looked = []
    files = [images.ImageFile(path) for path in sorted(tmp_path.iterdir())]
    for number, file in enumerate(files):
        plain = file.values
        file.values = lambda index, number=number, plain=plain: (
            looked.append(number) or plain(index)
        )
    images.check_files(files, trained_on(*EIGHT))
    assert (len(looked), looked[0], looked[-1]) == (16, 0, 39)
    with pytest.raises(ValueError, match="brighter"):
        images.check_files(files, trained_on(*TWELVE))
    images.check_files([], trained_on(*EIGHT))


def test_stored_values_go_through_json():
    made = trained_on(*EIGHT, *TWELVE)
    assert [each.dtype for each in made.stored_values] == ["uint16", "uint8"]
    assert [each.images for each in made.stored_values] == [4, 4]
    assert images.Normalization.from_json(made.to_json()) == made
    earlier = {"mean": [0.1], "std": [0.2], "value_scale": "dtype"}
    assert images.Normalization.from_dict(earlier).stored_values == ()
