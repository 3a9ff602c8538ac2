"""The side of a pixel, as each kind of TIFF tells it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from keras_unet3p.images import stored_pixel_size

PIXELS = np.zeros((8, 9), np.uint8)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        # ImageJ: pixels per unit.
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, 0.25),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "micron"}}, 0.25),
        ({"imagej": True, "resolution": (0.01, 0.01), "metadata": {"unit": "nm"}}, 0.1),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "pixel"}}, None),
        ({"imagej": True, "resolution": (4, 5), "metadata": {"unit": "um"}}, None),
        ({"imagej": True}, None),
        # Pixels per centimetre; inches are a printer's.
        ({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}, 0.5),
        ({"resolution": (118, 118), "resolutionunit": "CENTIMETER"}, 84.7458),
        ({"resolution": (28, 28), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        # OME-XML.
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65}}, 0.65),
        (
            {
                "ome": True,
                "metadata": {
                    "PhysicalSizeX": 65.0,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 0.065,
                    "PhysicalSizeYUnit": "µm",
                },
            },
            0.065,
        ),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.65, "PhysicalSizeY": 0.7}}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.65}}, None),
        ({"ome": True}, None),
    ],
)
def test_what_a_tiff_tells(tmp_path, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **options)
    assert stored_pixel_size(tmp_path / "a.tif") == expected


def test_other_formats_tell_nothing(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    assert stored_pixel_size(tmp_path / "a.npy") is None
