"""Labels as files: nothing is lost on the way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from keras_unet3p.images import read_labels, write_labels


@pytest.mark.parametrize(
    ("name", "largest", "given", "stored"),
    [
        ("a.png", 255, np.uint8, np.uint8),
        ("a.png", 3, np.int32, np.uint16),
        ("a.png", 65_535, np.int64, np.uint16),
        ("a.tif", 1, np.uint8, np.uint8),
        ("a.tif", 3, np.int32, np.uint16),
        ("a.tif", 65_536, np.int32, np.uint32),
        ("a.tif", 2**31 - 1, np.int32, np.uint32),
    ],
)
def test_ids_come_back_in_as_few_bits_as_hold_them(tmp_path, name, largest, given, stored):
    labels = np.random.default_rng(0).integers(0, largest, (40, 50), endpoint=True).astype(given)
    labels[0, 0] = largest
    write_labels(tmp_path / name, labels)
    read = tifffile.imread if name.endswith(".tif") else _read_png
    found = read(tmp_path / name)
    assert found.dtype == stored
    np.testing.assert_array_equal(found, labels)
    if largest <= 65_536:
        np.testing.assert_array_equal(read_labels(tmp_path / name)[0], labels)


def _read_png(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_a_tiff_is_compressed(tmp_path):
    write_labels(tmp_path / "a.tif", np.zeros((500, 500), np.int32))
    assert (tmp_path / "a.tif").stat().st_size < 5000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.png", "65536 instances; a PNG of 16 bits holds 65535; take TIFF"),
        ("a.bmp", "labels are written as .png or .tif"),
    ],
)
def test_what_a_file_does_not_hold(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        write_labels(tmp_path / name, np.array([[65_536]]))
    assert list(tmp_path.iterdir()) == []
