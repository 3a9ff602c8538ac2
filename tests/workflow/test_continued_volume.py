"""A killed prediction goes on within a volume, with the same result; objects through its slices."""

import csv
import dataclasses
import os

import numpy as np
import pytest
import tifffile
from dicom_files import write_series
from volume_files import read_zarr, write_nifti, write_zarr

from keras_unet3p import data, workflow
from keras_unet3p.config import ReadingChoices
from keras_unet3p.images import plane as planes
from keras_unet3p.images.formats import tiff
from keras_unet3p.postprocessing import instances_by_windows, link_slices
from keras_unet3p.workflow import prediction
from keras_unet3p.workflow.image_stamp import stamp_of_image

COUNT, SIZE = 5, (48, 60)


@pytest.fixture(scope="module")
def stack():
    """Images (Z, H, W) of cells that move a little from slice to slice."""
    cells, _ = data.generate_cells((SIZE[0] + COUNT, SIZE[1]), seed=2)
    return np.stack([cells[z : z + SIZE[0]] for z in range(COUNT)])


@pytest.fixture(scope="module")
def nuclei():
    return workflow.open_model("nuclei", tile_size=64)


@pytest.fixture
def segment(monkeypatch, nuclei, tmp_path):
    """Segments by a rule without a network; the number of slices for which it was asked."""

    def run(path, out="out", stop_at=None, kind="instances", **options):
        count = 0

        def look(image):
            nonlocal count
            count += 1
            if count == stop_at:
                raise KeyboardInterrupt
            bright = image[..., 0] > 90
            if kind == "classes":
                return bright.astype(np.uint8)
            return workflow.opening.InstanceRule().instances(bright.astype(np.float32))

        predictor = dataclasses.replace(
            nuclei,
            labels=look,
            num_classes=1,
            instances=look if kind == "instances" else None,
            class_names=("background", "nucleus"),
        )
        monkeypatch.setattr(prediction, "open_model", lambda *_, **__: predictor)
        where = {} if out is None else {"out": tmp_path / out}
        if stop_at is None:
            workflow.predict("nuclei", path, **where, **options)
        else:
            with pytest.raises(KeyboardInterrupt):
                workflow.predict("nuclei", path, **where, **options)
        return count

    return run


def _content(folder):
    """Files that are the same in two runs: all but DICOM's and gzip's, which have a date."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".dcm", ".gz")
    }


def _mask(folder, kind):
    if kind == "zarr":
        return read_zarr(folder / "cells.zarr")
    if kind == "nifti":
        import nibabel

        return np.asarray(nibabel.load(folder / "cells.nii.gz").dataobj)
    import pydicom

    dataset = pydicom.dcmread(folder / "cells.dcm")
    assert [each.SegmentLabel for each in dataset.SegmentSequence] == ["nucleus"]
    return dataset.pixel_array


def _write(kind, path, stack):
    if kind == "zarr":
        return write_zarr(path / "cells.zarr", stack)
    if kind == "nifti":
        return write_nifti(path / "cells.nii.gz", stack)
    pytest.importorskip("highdicom", reason="needs the extra medical")
    return write_series(path / "cells", stack, intercept=0)


@pytest.mark.parametrize("kind", ["zarr", "nifti", "dicom"])
def test_only_missing_slices_are_segmented(segment, stack, tmp_path, kind):
    path = _write(kind, tmp_path, stack)
    options = {"kind": "classes"} if kind == "dicom" else {"polygons": "geojson"}
    options["accept_values"] = True
    assert segment(path, "whole", **options) == COUNT
    assert segment(path, stop_at=4, **options) == 4
    assert segment(path, stop_at=2, **options) == 2
    assert segment(path, **options) == 1
    assert _content(tmp_path / "out") == _content(tmp_path / "whole")
    assert np.array_equal(_mask(tmp_path / "out", kind), _mask(tmp_path / "whole", kind))
    assert _mask(tmp_path / "out", kind).any()
    assert segment(path, **options) == COUNT, "a finished one is begun anew"
    assert not list((tmp_path / "out").glob("*.slices*"))


@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_a_label_image_names_classes_and_no_objects(segment, stack, tmp_path, kind):
    import zarr

    path = write_zarr(tmp_path / "cells.zarr", stack)
    segment(path, kind=kind)
    attributes = dict(zarr.open_group(tmp_path / "out" / "cells.zarr", mode="r").attrs)
    label = attributes.get("ome", attributes)["image-label"]
    names = [each["class"] for each in label.get("properties", [])]
    assert names == (["background", "nucleus"] if kind == "classes" else [])


def test_it_goes_on_in_labels_within_the_image(segment, stack, tmp_path):
    path = write_zarr(tmp_path / "cells.zarr", stack)
    segment(path, "whole")
    assert segment(path, None, stop_at=3, into_zarr="ids") == 3
    assert segment(path, None, into_zarr="ids") == COUNT - 2
    assert np.array_equal(
        read_zarr(path / "labels" / "ids"), read_zarr(tmp_path / "whole" / path.name)
    )
    inside = sorted(file.name for file in (path / "labels").iterdir())
    assert inside == [
        ".zattrs",
        ".zgroup",
        "ids",
    ]


def test_of_several_images_with_labels_inside_the_finished_ones_are_left(segment, stack, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_zarr(tmp_path / "images" / f"{name}.zarr", stack)
    assert segment(tmp_path / "images", stop_at=COUNT + 3, into_zarr="ids") == COUNT + 3
    assert segment(tmp_path / "images", into_zarr="ids") == COUNT - 2
    with pytest.raises(ValueError, match="has labels 'ids' already"):
        segment(tmp_path / "images", into_zarr="ids")


@pytest.mark.parametrize("change", ["image", "model", "reading"])
def test_what_has_changed_is_begun_anew(segment, stack, tmp_path, monkeypatch, change):
    path = write_zarr(tmp_path / "cells.zarr", stack)
    segment(path, stop_at=4)
    options = {}
    if change == "image":
        chunk = next(
            file for file in (path / "0").rglob("*") if file.is_file() and file.name[0].isdigit()
        )
        status = chunk.stat()
        os.utime(chunk, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "model":
        monkeypatch.setattr(prediction, "stamp_of_model", lambda _: ["another"])
    else:
        options["reading"] = ReadingChoices(axes="tyx")
    assert segment(path, **options) == COUNT


def test_a_slice_that_was_being_written_does_not_count(segment, stack, tmp_path):
    path = write_zarr(tmp_path / "cells.zarr", stack)
    segment(path, stop_at=4)
    (folder,) = (tmp_path / "out").glob("*.slices")
    (folder / "000001.npz").rename(folder / ".unfinished-host-1-x")
    assert segment(path) == COUNT - 2


@pytest.mark.parametrize("form", ["zarr", "tiff"])
def test_it_goes_on_within_a_large_plane(nuclei, stack, tmp_path, monkeypatch, form):
    """The streaming predictor's file stays, and it is that which goes on with its tiles."""
    for module in (planes, tiff):
        monkeypatch.setattr(module, "LARGE", 100)
    if form == "zarr":
        path = write_zarr(tmp_path / "cells.zarr", stack[:2])
    else:
        path = tmp_path / "cells.tif"
        options = {"tile": (32, 32), "photometric": "minisblack", "metadata": {"axes": "ZYX"}}
        tifffile.imwrite(path, stack[:2], **options)
    outputs = []

    def stream(image, output, kind):
        outputs.append(output)
        if len(outputs) == 2:
            output.with_name(output.name + ".partial").write_text("half")
            raise KeyboardInterrupt
        assert kind == "classes"
        np.save(output, (image[:, :][..., 0] > 90).astype(np.uint8))

    predictor = dataclasses.replace(nuclei, instances=None, num_classes=1, stream=stream)
    monkeypatch.setattr(prediction, "open_model", lambda *_, **__: predictor)
    asked = {"out": tmp_path / "out", "reading": ReadingChoices(axes="zyx")}
    with pytest.raises(KeyboardInterrupt):
        workflow.predict("nuclei", path, **asked)
    assert outputs[1].with_name(outputs[1].name + ".partial").exists()
    written = workflow.predict("nuclei", path, **asked)
    assert outputs[2] == outputs[1], "the same file, beside which the journal is"
    assert len(outputs) == 3
    if form == "zarr":
        assert np.array_equal(read_zarr(written[0]), stack[:2] > 90)
    else:
        for mask, image in zip(written, stack, strict=False):
            assert np.array_equal(tifffile.imread(mask), (image > 90) * 255)
    assert not list((tmp_path / "out").glob("*.slices*"))


def test_the_stamp_of_a_zarr_is_of_its_pixels(stack, tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3", reason="needs the extra zarr")
    path = write_zarr(tmp_path / "cells.zarr", stack)
    before = stamp_of_image(path)
    group = zarr.open_group(path / "labels", mode="w", zarr_format=2)
    group.attrs["labels"] = []
    assert stamp_of_image(path) == before
    zarr.open_group(path, mode="r+")["0"][0, :5, :5] = 7
    assert stamp_of_image(path) != before


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_objects_are_numbered_through_a_volume(segment, stack, tmp_path):
    path = write_nifti(tmp_path / "cells.nii.gz", stack)
    segment(path, "each", accept_values=True)
    options = {"link_slices": 0.25, "accept_values": True, "polygons": "geojson"}
    assert segment(path, stop_at=3, **options) == 3
    assert segment(path, **options) == COUNT - 2
    each, linked = _mask(tmp_path / "each", "nifti"), _mask(tmp_path / "out", "nifti")
    assert np.array_equal(linked.T.transpose(0, 1, 2), link_slices(each.T, 0.25))
    assert linked.max() < sum(each[..., z].max() for z in range(COUNT))
    rows = _rows(tmp_path / "out" / "volume_objects.csv")
    numbers, voxels = np.unique(linked[linked > 0], return_counts=True)
    assert [int(row["id"]) for row in rows] == numbers.tolist()
    assert [int(row["voxels"]) for row in rows] == voxels.tolist()
    assert {row["volume"] for row in rows} == {"cells.nii.gz"}
    first = rows[0]
    inside = np.argwhere(linked == int(first["id"]))  # x, y, z
    found = [float(first[f"centroid_{axis}"]) for axis in ("column", "row", "slice")]
    assert np.allclose(found, inside.mean(0))
    slices = _rows(tmp_path / "out" / "objects.csv")
    assert {int(row["slice"]) for row in slices} == set(range(COUNT))
    assert len({(row["slice"], row["id"]) for row in slices}) == len(slices)


def test_volumes_in_physical_units(segment, stack, tmp_path):
    path = tmp_path / "cells.ome.tif"
    told = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(path, stack, photometric="minisblack", metadata=told)
    with pytest.raises(ValueError, match=r"does not tell that its images are slices .*--axes zyx"):
        segment(path, link_slices=0.25)
    reading = ReadingChoices(axes="zyx")
    segment(path, link_slices=0.25, reading=reading)
    masks = np.stack([tifffile.imread(mask) for mask in _pictures(tmp_path / "out")])
    for row in _rows(tmp_path / "out" / "volume_objects.csv"):
        voxels = int((masks == int(row["id"])).sum())
        assert int(row["voxels"]) == voxels
        assert float(row["volume_um3"]) == pytest.approx(voxels * 0.5 * 0.5 * 2.0)


def _pictures(folder):
    import cv2

    found = sorted(folder.glob("*.png"))
    for file in found:
        ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        tifffile.imwrite(file.with_suffix(".tif"), ids)
    return [file.with_suffix(".tif") for file in found]


def test_volumes_of_one_file_share_no_number(segment, stack, tmp_path):
    film = np.stack([stack[:3], stack[:3]])
    path = write_zarr(tmp_path / "cells.zarr", film, "tzyx")
    segment(path, link_slices=0.25)
    ids = read_zarr(tmp_path / "out" / "cells.zarr")
    assert np.array_equal(ids[0] > 0, ids[1] > 0)
    assert not set(np.unique(ids[0])) & set(np.unique(ids[1])) - {0}
    volumes = {row["volume"] for row in _rows(tmp_path / "out" / "volume_objects.csv")}
    assert volumes == {"cells.zarr t0", "cells.zarr t1"}


def test_large_slices_are_linked_on_the_disk(nuclei, stack, tmp_path, monkeypatch):
    monkeypatch.setattr(planes, "LARGE", 100)
    path = write_zarr(tmp_path / "cells.zarr", stack)
    rule = workflow.opening.InstanceRule()

    def stream(image, output, kind):
        assert kind == "instances"
        bright = (image[:, :][..., 0] > 90).astype(np.float32)
        ids = np.zeros(bright.shape, np.int32)
        instances_by_windows(bright, ids, rule)
        np.save(output, ids)

    predictor = dataclasses.replace(nuclei, stream=stream)
    monkeypatch.setattr(prediction, "open_model", lambda *_, **__: predictor)
    workflow.predict("nuclei", path, out=tmp_path / "out", link_slices=0.5)
    each = np.stack([rule.instances((slice_ > 90).astype(np.float32)) for slice_ in stack])
    assert np.array_equal(read_zarr(tmp_path / "out" / "cells.zarr"), link_slices(each, 0.5))


def test_images_by_themselves_are_not_linked(segment, stack, tmp_path):
    np.save(tmp_path / "a.npy", stack[0])
    with pytest.raises(ValueError, match="link_slices: each of the images is one by itself"):
        segment(tmp_path / "a.npy", link_slices=0.25)
    with pytest.raises(ValueError, match="link_slices must be above 0"):
        segment(tmp_path / "a.npy", link_slices=2)
    with pytest.raises(ValueError, match="does not tell instances apart"):
        segment(tmp_path / "a.npy", kind="classes", link_slices=0.25)
