"""TIFF and OME-TIFF in windows, written by tifffile and equal to what is decoded as a whole."""

import numpy as np
import pytest
import tifffile

from keras_unet3p import images
from keras_unet3p.config import ReadingChoices
from keras_unet3p.images import label_files
from keras_unet3p.images import plane as planes
from keras_unet3p.images.formats import tiff


def pixels(*shape, dtype=np.uint16):
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


WINDOW = (slice(17, 75), slice(40, 91))

FILES = {
    "strips": {},
    "mapped": {"compression": None, "rowsperstrip": 100},
    "zlib": {"compression": "zlib", "rowsperstrip": 7},
    "tiles": {"compression": "zlib", "tile": (32, 48)},
    "big endian": {"compression": "zlib", "tile": (32, 48), "byteorder": ">"},
    "big tiff": {"bigtiff": True, "tile": (16, 16)},
    "inverted": {"photometric": "miniswhite"},
    "predictor": {"compression": "zlib", "predictor": True, "tile": (32, 32)},
}


@pytest.mark.parametrize("options", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_windows_are_those_of_the_whole(tmp_path, options, dtype):
    if {"photometric", "predictor"} & set(options) and dtype == np.float32:
        pytest.skip("tifffile by itself does not write such floats")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(100, 120, dtype=dtype), **{"photometric": 1, **options})
    (plane,) = images.open_planes(path)
    whole = images.ImageFile(path, value_scale="raw").stored(0)
    assert plane.shape == whole.shape
    assert plane.dtype == whole.dtype
    assert np.array_equal(plane[WINDOW], whole[WINDOW])
    assert np.array_equal(plane.read(labels=False), whole)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_colours_lose_their_alpha(tmp_path, planarconfig, samples, tile):
    shape = (100, 120, samples) if planarconfig == "contig" else (samples, 100, 120)
    options = {"extrasamples": [2]} if samples == 4 else {}
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        pixels(*shape, dtype=np.uint8),
        photometric="rgb",
        planarconfig=planarconfig,
        tile=tile,
        compression="zlib" if tile else None,
        **options,
    )
    (plane,) = images.open_planes(path)
    whole = images.ImageFile(path, value_scale="raw").stored(0)
    assert whole.shape == (100, 120, 3)
    assert np.array_equal(plane[WINDOW], whole[WINDOW])


def write_ome(path, array, axes, **metadata):
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        file.write(
            array,
            subifds=1,
            tile=(32, 32),
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": axes, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, **metadata},
        )
        file.write(array[..., ::2, ::2], subfiletype=1, tile=(32, 32), photometric="minisblack")
    return path


def test_the_axes_of_ome_tiff_are_those_of_its_metadata(tmp_path):
    array = pixels(2, 3, 4, 50, 60)
    names = {"Channel": {"Name": ["DAPI", "GFP", "RFP"]}}
    path = write_ome(tmp_path / "a.ome.tif", array, "TCZYX", **names)
    found = images.open_planes(path)
    assert len(found) == 8
    assert found[0].pixel_size == 0.25
    assert [plane.volume for plane in found[3:5]] == [f"{path} t0", f"{path} t1"]
    for number, plane in enumerate(found):
        expected = array[number // 4, :, number % 4].transpose(1, 2, 0)
        assert np.array_equal(plane[:, :], expected)
    # As those that are decoded as a whole, which is the default.
    whole = images.ImageFile(path, value_scale="raw")
    assert all(np.array_equal(whole.stored(n), found[n][:, :]) for n in range(8))
    assert whole.plane(0) is None

    chosen = ReadingChoices(level=1, channels="RFP,GFP")
    plane = images.open_planes(path, chosen)[5]
    assert plane.pixel_size == 0.5
    assert np.array_equal(plane[:, :], array[1, [2, 1], 1, ::2, ::2].transpose(1, 2, 0))
    file = images.ImageFile(path, value_scale="raw", reading=chosen)
    assert np.array_equal(file.stored(5), plane[:, :])
    assert file.pixel_size(5) == 0.5


def test_pages_without_a_word_are_images_and_this_is_said(tmp_path):
    array = pixels(3, 50, 60)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack")
    with pytest.warns(images.AxesWarning, match="3 pages, .* taken as 3 images; .*axes='cyx'"):
        assert len(images.ImageFile(path)) == 3
    colour = images.ImageFile(path, reading=ReadingChoices(axes="cyx"))
    assert len(colour) == 1
    assert np.array_equal(colour.stored(0), array.transpose(1, 2, 0))
    stack = images.open_planes(path, ReadingChoices(axes="zyx", neighbors=1))
    assert {plane.volume for plane in stack} == {str(path)}
    assert np.array_equal(stack[2][:, :], array[[1, 2, 2]].transpose(1, 2, 0))
    with pytest.raises(ValueError, match="axes 'tzyx' for an array of 3 x 50 x 60"):
        images.open_planes(path, ReadingChoices(axes="tzyx"))


def test_files_that_tell_their_axes_are_taken_at_their_word(tmp_path, recwarn):
    array = pixels(3, 50, 60)
    tifffile.imwrite(tmp_path / "z.tif", array, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "c.tif", array, imagej=True, metadata={"axes": "CYX"})
    assert [len(images.ImageFile(tmp_path / name)) for name in ("z.tif", "c.tif")] == [3, 1]
    assert not [each for each in recwarn if each.category is images.AxesWarning]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"level": 2}, "level 2; it has levels 0 to 1"),
        ({"channels": "CY5"}, "no channel 'CY5'; there are DAPI, GFP"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, chosen, message):
    names = {"Channel": {"Name": ["DAPI", "GFP"]}}
    path = write_ome(tmp_path / "a.ome.tif", pixels(2, 50, 60), "CYX", **names)
    with pytest.raises(ValueError, match=message):
        images.open_planes(path, ReadingChoices(**chosen))


def test_large_images_are_read_in_windows_by_themselves(tmp_path, monkeypatch):
    array = pixels(100, 120)
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(32, 32))
    monkeypatch.setattr(tiff, "LARGE", 5000)
    monkeypatch.setattr(planes, "LARGE", 5000)
    file = images.ImageFile(tmp_path / "a.tif", max_pixels=11_000)
    plane = file.plane(0)
    assert plane.is_large
    assert np.array_equal(plane[WINDOW][..., 0], array[WINDOW])
    with pytest.raises(ValueError, match="max_pixels"):
        file.stored(0)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(100, 120), tile=(32, 32), metadata=None)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ValueError, match="truncated"):
        images.open_planes(path)


def test_large_labels_become_tiles_with_a_pyramid(tmp_path, monkeypatch):
    labels = np.random.default_rng(0).integers(0, 70_000, (700, 900)).astype(np.int32)
    monkeypatch.setattr(label_files, "LARGE", 1000)
    monkeypatch.setattr(label_files, "_SMALLEST_LEVEL", 300)
    images.write_labels(tmp_path / "a.tif", labels)
    assert np.array_equal(images.read_labels(tmp_path / "a.tif")[0], labels)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert [level.shape for level in file.series[0].levels] == [
            (700, 900),
            (350, 450),
            (175, 225),
        ]
        assert np.array_equal(file.series[0].levels[1].asarray(), labels[::2, ::2])
        assert file.pages[0].is_tiled
