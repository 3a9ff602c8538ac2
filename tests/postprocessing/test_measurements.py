"""The table of objects."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p import data
from keras_unet3p.postprocessing import object_table


def test_rows_are_what_the_pixels_say():
    image, labels = data.generate_cells((90, 70), seed=1)
    image = np.stack([image, 255 - image], -1)
    rows = object_table(labels, image, pixel_size=0.5)
    assert [row["id"] for row in rows] == sorted(set(np.unique(labels)) - {0})
    for row in rows:
        inside = labels == row["id"]
        places = np.argwhere(inside)
        assert row["area"] == inside.sum()
        assert row["area_um2"] == inside.sum() / 4
        assert (row["centroid_row"], row["centroid_column"]) == pytest.approx(places.mean(0))
        assert row["perimeter_um"] == row["perimeter"] / 2
        for channel in (0, 1):
            values = image[..., channel][inside].astype(float)
            assert row[f"mean_intensity_{channel}"] == pytest.approx(values.mean())
            assert row[f"integrated_intensity_{channel}"] == values.sum()
        edge = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        assert row["touches_border"] == edge.any()
        assert 0 <= row["eccentricity"] <= 1


def test_no_objects_no_rows():
    assert object_table(np.zeros((4, 5), int), np.zeros((4, 5))) == []


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"instances of shape \(4, 5\) do not fit an image"):
        object_table(np.ones((4, 5), int), np.zeros((5, 4, 1)))
    with pytest.raises(ValueError, match="pixel_size must be above 0 micrometres, found 0"):
        object_table(np.ones((4, 5), int), np.zeros((4, 5, 1)), pixel_size=0)
