"""OME-Zarr, written by the zarr package as the specification has it, and read as planes."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from keras_unet3p import data, images
from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import MissingExtraError
from keras_unet3p.geometry import TileGeometry
from keras_unet3p.images import formats
from keras_unet3p.images.formats import ome_zarr
from keras_unet3p.tiling import StreamingPredictor

zarr = pytest.importorskip("zarr", minversion="3", reason="needs the extra zarr")

UNITS = {"t": "second", "c": None, "z": "micrometer", "y": "nanometer", "x": "nanometer"}


def write_image(path, array, axes, *, version="0.5", names=(), chunk=16, scale=250.0):
    """An image of two levels; a pixel has 0.25 micrometres."""
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for level in range(2):
        step = 2**level
        part = array[tuple(slice(None, None, step if axis in "yx" else None) for axis in axes)]
        chunks = [chunk if axis in "yx" else 1 for axis in axes]
        group.create_array(str(level), data=part, chunks=tuple(chunks))
        factors = [scale * step if axis in "yx" else 1.0 for axis in axes]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": factors}],
            }
        )
    kinds = {"t": "time", "c": "channel"}
    told = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    for each in told:
        if UNITS[each["name"]]:
            each["unit"] = UNITS[each["name"]]
    ome = {"multiscales": [{"axes": told, "datasets": datasets}]}
    if names:
        ome["omero"] = {"channels": [{"label": name} for name in names]}
    if version == "0.5":
        group.attrs.update({"ome": {"version": "0.5", **ome}})
    else:
        ome["multiscales"][0]["version"] = "0.4"
        group.attrs.update(ome)
    return path


def pixels(*shape, dtype=np.uint16):
    return np.random.default_rng(0).integers(0, 5000, shape).astype(dtype)


@pytest.fixture(params=["0.4", "0.5"])
def version(request):
    return request.param


def test_planes_are_the_arrays_pixels(tmp_path, version):
    array = pixels(2, 3, 4, 40, 50)
    path = write_image(
        tmp_path / "a.ome.zarr", array, "tczyx", version=version, names=["DAPI", "GFP", "RFP"]
    )
    planes = images.open_planes(path)
    assert len(planes) == 8
    assert {plane.volume for plane in planes} == {f"{path} t0", f"{path} t1"}
    for number, plane in enumerate(planes):
        expected = array[number // 4, :, number % 4].transpose(1, 2, 0)
        assert np.array_equal(plane.read(labels=False), expected)
        assert np.array_equal(plane[7:33, 5:], expected[7:33, 5:])
    assert planes[0].dtype == np.uint16
    assert planes[0].pixel_size == 0.25
    assert planes[5].label == f"{path} (image 5)"


def test_level_channels_and_neighbours_are_chosen(tmp_path, version):
    array = pixels(3, 4, 40, 50)
    path = write_image(
        tmp_path / "a.zarr", array, "czyx", version=version, names=["DAPI", "GFP", "RFP"]
    )
    chosen = ReadingChoices(level=1, channels="RFP,0", neighbors=1)
    planes = images.open_planes(path, chosen)
    small = array[:, :, ::2, ::2]
    assert planes[0].pixel_size == 0.5
    expected = [small[c, z] for z in (0, 0, 1) for c in (2, 0)]
    assert np.array_equal(planes[0][:, :], np.stack(expected, -1))
    expected = [small[c, z] for z in (1, 2, 3) for c in (2, 0)]
    assert np.array_equal(planes[2][:, :], np.stack(expected, -1))


def test_a_file_of_the_folder_gives_the_pixels_that_its_picture_gives(tmp_path):
    image, _ = data.generate_cells((40, 50), seed=1)
    write_image(tmp_path / "cell.zarr", image, "yx")
    np.save(tmp_path / "same.npy", image)
    found = images.list_images(tmp_path)
    assert sorted(found) == ["cell", "same"]
    (zarrs,), (plain,) = images.read_image(found["cell"]), images.read_image(found["same"])
    assert np.array_equal(zarrs, plain)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"channels": "CY5"}, "no channel 'CY5'; there are DAPI, GFP"),
        ({"level": 2}, "level 2; it has levels 0 to 1"),
        ({"axes": "tzyx"}, "a letter for each axis"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, chosen, message):
    path = write_image(tmp_path / "a.zarr", pixels(2, 20, 30), "cyx", names=["DAPI", "GFP"])
    with pytest.raises(ValueError, match=message):
        images.open_planes(path, ReadingChoices(**chosen))


def test_arrays_groups_and_plates_say_what_to_give(tmp_path):
    array = pixels(3, 20, 30)
    zarr.create_array(tmp_path / "plain.zarr", data=array)
    with pytest.raises(ValueError, match="does not tell its axes"):
        images.open_planes(tmp_path / "plain.zarr")
    planes = images.open_planes(tmp_path / "plain.zarr", ReadingChoices(axes="zyx"))
    assert np.array_equal(planes[2][:, :, :][..., 0], array[2])
    (plane,) = images.open_planes(tmp_path / "plain.zarr", ReadingChoices(axes="cyx"))
    assert plane.shape == (20, 30, 3)

    group = zarr.open_group(tmp_path / "series.zarr", mode="w")
    group.create_group("0")
    with pytest.raises(ValueError, match=r"no image; give one of those in it: .*series.zarr/0"):
        images.open_planes(tmp_path / "series.zarr")
    group = zarr.open_group(tmp_path / "plate.zarr", mode="w")
    group.attrs.update({"ome": {"plate": {"wells": [{"path": "B/2"}]}}})
    with pytest.raises(ValueError, match=r"a plate of 1 wells; .*plate.zarr/B/2/0"):
        images.open_planes(tmp_path / "plate.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ValueError, match="no Zarr image can be read there"):
        images.open_planes(tmp_path / "empty.zarr")


def test_labels_are_written_with_a_pyramid_and_read_as_masks(tmp_path, version):
    path = write_image(tmp_path / "a.zarr", pixels(2, 3, 40, 50), "czyx", version=version)
    labels = np.random.default_rng(1).integers(0, 70_000, (3, 40, 50)).astype(np.uint32)
    for name, classes in (("cells", ()), ("nuclei", ("background", "nucleus"))):
        with ome_zarr.labels_inside(path, name, ReadingChoices(), np.uint32, classes) as file:
            for z in range(3):
                writer = file.plane(z)
                writer[:25, :] = labels[z, :25]
                writer[25:, :30] = labels[z, 25:, :30]
                writer[25:, 30:] = labels[z, 25:, 30:]
                writer.finish()
    group = zarr.open_group(path, mode="r")
    attributes = dict(group["labels"].attrs)
    assert attributes.get("ome", attributes)["labels"] == ["cells", "nuclei"]
    attributes = dict(group["labels/cells"].attrs)
    ome = attributes.get("ome", attributes)
    assert ome["image-label"]["source"] == {"image": "../../"}
    assert "properties" not in ome["image-label"]
    named = dict(group["labels/nuclei"].attrs)
    assert named.get("ome", named)["image-label"]["properties"] == [
        {"label-value": 0, "class": "background"},
        {"label-value": 1, "class": "nucleus"},
    ]
    (multiscale,) = ome["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]] == ["z", "y", "x"]
    scales = [each["coordinateTransformations"][0]["scale"] for each in multiscale["datasets"]]
    assert scales == [[1, 250, 250], [1, 500, 500]]
    assert np.array_equal(group["labels/cells/0"][:], labels)
    # Each label of the smaller level is one of the 2 x 2 that it stands for.
    small = group["labels/cells/1"][:]
    blocks = labels.reshape(3, 20, 2, 25, 2).transpose(0, 1, 3, 2, 4).reshape(3, 20, 25, 4)
    assert (small[..., np.newaxis] == blocks).any(-1).all()
    assert [p.name for p in (path / "labels").iterdir() if p.name.startswith(".keras")] == []

    read = images.read_labels(path / "labels" / "cells")
    assert np.array_equal(np.stack(read), labels)
    with pytest.raises(ValueError, match=r"2 label images \(cells, nuclei\)"):
        images.read_labels(path)
    with pytest.raises(ValueError, match="has labels 'cells' already"):
        ome_zarr.check_inside(path, "cells", ReadingChoices())


def test_consolidated_metadata_know_the_labels(tmp_path, version):
    path = write_image(tmp_path / "a.zarr", pixels(20, 30), "yx", version=version)
    zarr.consolidate_metadata(str(path))
    with ome_zarr.labels_inside(path, "cells", ReadingChoices(), np.uint8) as file:
        file.plane(0).finish()
    assert "cells" in zarr.open_consolidated(str(path))["labels"]


def test_a_failed_prediction_leaves_no_labels(tmp_path):
    path = write_image(tmp_path / "a.zarr", pixels(20, 30), "yx")
    with (
        pytest.raises(RuntimeError),
        ome_zarr.labels_inside(path, "cells", ReadingChoices(), np.uint8),
    ):
        raise RuntimeError
    assert list((path / "labels").iterdir()) == []


class _Bright:
    """Stands in for a network: the pixels above one half."""

    def predict_tiles(self, tiles):
        return (tiles[..., :1] > 0.5).astype(np.float32)


def test_memory_does_not_grow_with_the_height(tmp_path):
    height, width, chunk = 36864, 2048, 512
    group = zarr.open_group(tmp_path / "large.zarr", mode="w", zarr_format=3)
    array = group.create_array("0", shape=(height, width), chunks=(chunk, chunk), dtype=np.uint8)
    group.attrs.update(
        {
            "ome": {
                "version": "0.5",
                "multiscales": [
                    {
                        "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
                        "datasets": [{"path": "0"}],
                    }
                ],
            }
        }
    )
    spots = [(0, 0), (height - 300, width - 300), (7000, 1500)]
    for y, x in spots:
        array[y : y + 300, x : x + 300] = 200
    (plane,) = images.open_planes(tmp_path / "large.zarr")
    assert plane.is_large
    assert images.measure_values(plane.sample(), "large").dtype == np.uint8
    geometry = TileGeometry.fit(512, 32)
    predictor = StreamingPredictor(_Bright(), geometry=geometry)
    tracemalloc.start()
    reading = ReadingChoices()
    with ome_zarr.labels_inside(tmp_path / "large.zarr", "bright", reading, np.uint8) as file:
        writer = file.plane(0)
        predictor.predict(plane, writer, progress=False)
        writer.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < height * width / 3
    labels = zarr.open_array(tmp_path / "large.zarr" / "labels" / "bright" / "0", mode="r")
    for y, x in spots:
        assert labels[y : y + 300, x : x + 300].all()
    assert sum(int(labels[y : y + chunk].sum()) for y in range(0, height, chunk)) == 3 * 300**2


def test_streaming_takes_the_path_of_a_file_of_one_image(tmp_path):
    path = write_image(tmp_path / "a.zarr", pixels(40, 50), "yx")
    predictor = StreamingPredictor(_Bright(), geometry=TileGeometry.fit(32, 8))
    found = predictor.predict(path, progress=False)
    (plane,) = images.open_planes(path)
    assert np.array_equal(found, predictor.predict(plane[:, :], progress=False))
    stack = write_image(tmp_path / "b.zarr", pixels(2, 40, 50), "zyx")
    with pytest.raises(ValueError, match="holds 2 images"):
        predictor.predict(stack)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.zarr", pixels(20, 30), "yx")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r'pip install "keras_unet3p\[zarr\]"'):
        images.open_planes(path)


def test_the_list_of_formats_imports_no_library():
    code = (
        "import sys; from keras_unet3p.images import formats; import keras_unet3p.images.listing; "
        "print(sorted({'zarr', 'nibabel', 'pydicom', 'tiffslide'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    names = {path.stem for path in Path(formats.__file__).parent.glob("*.py")}
    assert {each.name for each in formats.FORMATS} <= names
