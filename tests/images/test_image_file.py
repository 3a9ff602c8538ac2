from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_unet3p import images

STACK = np.random.default_rng(5).integers(0, 65536, (40, 8, 20), np.uint16)


def test_images_come_one_by_one(tmp_path):
    np.save(tmp_path / "a.npy", STACK)
    file = images.ImageFile(tmp_path / "a.npy")
    assert (len(file), file.value_scale) == (40, "dtype")
    expected = [page[..., None] / 65535 for page in STACK]
    np.testing.assert_allclose(list(file), expected, atol=1e-6)
    np.testing.assert_allclose(file[-1], expected[-1], atol=1e-6)
    np.testing.assert_allclose(file[3:5], expected[3:5], atol=1e-6)
    with pytest.raises(IndexError):
        file[40]


def test_a_rule_is_that_of_all_images_or_the_one_given(tmp_path):
    np.save(tmp_path / "a.npy", STACK[:2] / np.float32([[[65535]], [[257]]]))
    with pytest.warns(images.ValuesWarning, match=r"a\.npy: float32 values .* from 0 to 255"):
        file = images.ImageFile(tmp_path / "a.npy")
    assert file.value_scale == "255"
    assert images.ImageFile(tmp_path / "a.npy", value_scale="raw")[1].max() > 200


@pytest.mark.parametrize("compression", [None, "zlib", "tiff_lzw", "separate channels"])
def test_the_work_for_a_page_does_not_grow_with_those_before(tmp_path, monkeypatch, compression):
    path = tmp_path / "film.tif"
    if compression == "tiff_lzw":
        pages = [Image.fromarray(page) for page in STACK]
        pages[0].save(path, save_all=True, append_images=pages[1:], compression=compression)
    elif compression == "separate channels":
        films = STACK.reshape(20, 2, 8, 20)
        tifffile.imwrite(path, films, imagej=True, metadata={"axes": "TCYX"})
    else:
        tifffile.imwrite(path, STACK, photometric="minisblack", compression=compression)
    file = images.ImageFile(path)
    expected = STACK[..., None] / 65535
    if compression == "separate channels":
        expected = np.moveaxis(STACK.reshape(20, 2, 8, 20), 1, -1) / 65535
    read = []
    plain = tifffile.FileHandle.read

    def counted(self, size=-1, /):
        content = plain(self, size)
        read.append(len(content))
        return content

    monkeypatch.setattr(tifffile.FileHandle, "read", counted)
    effort = []
    for index in (0, len(file) - 1):
        read.clear()
        np.testing.assert_allclose(file[index], expected[index], atol=1e-6)
        effort.append((len(read), sum(read)))
    assert effort[0] >= effort[1] > (0, 0)


def test_a_page_of_big_endian_lzw_and_big_tiff(tmp_path):
    pages = np.stack([STACK[:3]] * 3, -1)
    for name, options in (("big", {"bigtiff": True}), ("endian", {"byteorder": ">"})):
        tifffile.imwrite(tmp_path / f"{name}.tif", pages, photometric="rgb", **options)
        file = images.ImageFile(tmp_path / f"{name}.tif")
        np.testing.assert_allclose(np.stack(list(file)), pages / 65535, atol=1e-6)
