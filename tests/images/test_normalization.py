from __future__ import annotations

import json

import numpy as np
import pytest

from keras_unet3p.images import Normalization


@pytest.mark.parametrize("scale", ["dtype", "unit", "255", "65535", "raw"])
def test_json_round_trip(scale):
    made = Normalization((0.1, np.float32(0.2)), (0.3, 1.0), scale)
    assert Normalization.from_json(made.to_json()) == made
    assert Normalization.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert made.num_channels == 2


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        (np.uint8(255), "dtype", 1.0),
        (np.uint16(65535), "dtype", 1.0),
        (np.int16(-32767), "dtype", -1.0),
        (np.bool_(True), "dtype", 1.0),
        (np.float32(0.25), "dtype", 0.25),
        (np.float32(0.25), "unit", 0.25),
        (np.float64(51.0), "255", 0.2),
        (np.int32(51), "255", 0.2),
        (np.float32(6553.5), "65535", 0.1),
        (np.float32(-900.0), "raw", -900.0),
        (np.int16(-900), "raw", -900.0),
        (np.uint8(51), "255", 0.2),
        (np.uint8(51), "unit", 0.2),
    ],
)
def test_unit_values(value, scale, expected):
    unit = Normalization((0.0,), (1.0,), scale).to_unit(np.full((2, 3, 1), value))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "scale"), [(200.0, "unit"), (200.0, "dtype"), (60000.0, "255"), (-5.0, "unit")]
)
def test_values_of_another_scale_are_refused(value, scale):
    normalization = Normalization((0.0,), (1.0,), scale)
    with pytest.raises(ValueError, match=r"cell\.tif: .*expected values within"):
        normalization.to_unit(np.full((2, 2, 1), value), name="cell.tif")


@pytest.mark.parametrize(
    ("mean", "std", "scale"),
    [
        ((0.0,), (1.0,), "percent"),
        ((0.0, 1.0), (1.0,), "dtype"),
        ((), (), "dtype"),
        ((0.0,), (0.0,), "dtype"),
        ((float("nan"),), (1.0,), "dtype"),
    ],
)
def test_impossible_ones_are_refused(mean, std, scale):
    with pytest.raises(ValueError, match=r"expected|accepted"):
        Normalization(mean, std, scale)
