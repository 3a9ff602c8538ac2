"""Whole slides: a file as Aperio's scanners write it, by tifffile, and read in windows."""

import sys

import numpy as np
import pytest
import tifffile

from keras_unet3p import images
from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import MissingExtraError

APERIO = "Aperio Image Library v12.0.0\n{}x{} (256x256)|AppMag = 20|MPP = 0.5"


def write_svs(path, array):
    """Two levels, 1 and 4, with a thumbnail between them, as such files have it."""
    small = np.ascontiguousarray(array[::4, ::4])
    options = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as file:
        text = APERIO.format(array.shape[1], array.shape[0])
        file.write(array, tile=(256, 256), description=text, **options)
        file.write(array[::16, ::16], description=text, rowsperstrip=16, **options)
        file.write(small, tile=(256, 256), description=text, **options)
    return path


@pytest.fixture
def slide(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (1100, 1300, 3)).astype(np.uint8)
    return write_svs(tmp_path / "slide.svs", array), array


@pytest.fixture(params=["tiffslide", "openslide"])
def library(request, monkeypatch):
    """One of the libraries, and of the other nothing."""
    if request.param == "tiffslide":
        pytest.importorskip("imagecodecs", reason="needs the extra slides")
    pytest.importorskip(request.param, reason="needs the extra slides, or openslide-bin")
    other = {"tiffslide": "openslide", "openslide": "tiffslide"}[request.param]
    monkeypatch.setitem(sys.modules, other, None)
    return request.param


def test_windows_of_levels_are_the_pixels(slide, library):
    path, array = slide
    (plane,) = images.open_planes(path)
    assert type(plane._slide).__module__.startswith(library)
    assert plane.shape == array.shape
    assert plane.pixel_size == 0.5
    assert plane.volume is None
    assert np.array_equal(plane[300:700, 1000:], array[300:700, 1000:])
    assert np.array_equal(plane.read(labels=False), array)
    (plane,) = images.open_planes(path, ReadingChoices(level=1))
    small = array[::4, ::4]
    assert plane.shape == small.shape
    assert plane.pixel_size == 2.0
    for rows, columns in ((slice(0, 275), slice(0, 325)), (slice(101, 203), slice(7, 300))):
        assert np.array_equal(plane[rows, columns], small[rows, columns])
    (plane,) = images.open_planes(path, ReadingChoices(channels="G"))
    assert np.array_equal(plane[:9, :8][..., 0], array[:9, :8, 1])
    with pytest.raises(ValueError, match="level 2; it has levels 0 to 1"):
        images.open_planes(path, ReadingChoices(level=2))


@pytest.mark.parametrize("compression", [None, "deflate", "jpeg"])
def test_a_pyramid_without_a_scanners_name_is_read(library, tmp_path, compression):
    """A tiled TIFF; JPEG, as scanners have it, is what tifffile reads of it."""
    if compression == "jpeg":
        pytest.importorskip("imagecodecs", reason="writes JPEG")
    array = np.kron(np.arange(99, dtype=np.uint8).reshape(9, 11, 1), np.ones((64, 64, 3), np.uint8))
    path = tmp_path / "slide.svs"
    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as file:
        for level, factor in enumerate((1, 2, 4)):
            pixels = np.ascontiguousarray(array[::factor, ::factor])
            file.write(pixels, compression=compression, subfiletype=min(level, 1), **options)
    for level in range(3):
        expected = tifffile.imread(path, key=level)
        (plane,) = images.open_planes(path, ReadingChoices(level=level))
        assert plane.shape == expected.shape
        assert plane.pixel_size is None
        rows, columns = slice(17, 130), slice(33, 170)
        found = plane[rows, columns].astype(int)
        assert np.abs(found - expected[rows, columns]).max() <= 2 * (compression == "jpeg")


def test_a_slide_gives_the_image_that_a_picture_gives(slide, library, tmp_path):
    path, array = slide
    np.save(tmp_path / "same.npy", array)
    assert list(images.list_images(tmp_path)) == ["same", "slide"]
    (own,), (same,) = images.read_image(path), images.read_image(tmp_path / "same.npy")
    assert np.array_equal(own, same)


def test_a_damaged_slide_is_refused(library, tmp_path):
    (tmp_path / "a.svs").write_bytes(b"nothing" * 99)
    with pytest.raises(ValueError, match=r"a.svs: cannot be read"):
        images.open_planes(tmp_path / "a.svs")


def test_openslide_reads_what_tiffslide_does_not(tmp_path, monkeypatch):
    (tmp_path / "a.mrxs").write_bytes(b"nothing" * 99)
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(ValueError, match="pip install openslide-python openslide-bin"):
        images.open_planes(tmp_path / "a.mrxs")


def test_without_the_package_the_extra_is_named(slide, monkeypatch):
    for library in ("tiffslide", "openslide"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r'pip install "keras_unet3p\[slides\]"'):
        images.open_planes(slide[0])
