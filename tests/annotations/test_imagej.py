"""ROIs of ImageJ, made by roifile."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi, roiread

from keras_unet3p.annotations import KnownImage, ObjectImage, read_imagej, write_imagej

IMAGES = {"a": KnownImage("a.tif", 20, 30)}


def box(kind, left, top, right, bottom, **options):
    return ImagejRoi(roitype=kind, left=left, top=top, right=right, bottom=bottom, **options)


def write(path, **rois):
    with zipfile.ZipFile(path, "w") as archive:
        for name, roi in rois.items():
            archive.writestr(f"{name}.roi", roi if isinstance(roi, bytes) else roi.tobytes())
    return path


def test_every_region_of_an_area(tmp_path):
    freehand = ImagejRoi.frompoints([[10.5, 2.5], [14.5, 2.5], [14.5, 5.5], [10.5, 5.5]])
    freehand.roitype = ROI_TYPE.FREEHAND
    point = ImagejRoi.frompoints([[1, 1]])
    point.roitype = ROI_TYPE.POINT
    path = write(
        tmp_path / "a.zip",
        polygon=ImagejRoi.frompoints([[1, 1], [4, 1], [4, 3], [1, 3]]),
        freehand=freehand,
        rectangle=box(ROI_TYPE.RECT, 20, 10, 23, 14),
        oval=box(ROI_TYPE.OVAL, 2, 10, 12, 18),
        point=point,
    )
    found = read_imagej(path, IMAGES)
    ids = found.images[0].painted().ids
    assert [(ids == number).sum() for number in (1, 2, 3)] == [6, 12, 12]
    assert abs((ids == 4).sum() - np.pi * 5 * 4) < 4
    assert found.left_out == {"region of the type point": 1}


def test_names_and_groups_are_classes(tmp_path):
    one = box(ROI_TYPE.RECT, 0, 0, 2, 2, name="12 nucleus")
    two = box(ROI_TYPE.RECT, 4, 4, 6, 6, name="0005-0005", group=3)
    three = box(ROI_TYPE.RECT, 8, 8, 9, 9, name="anything")
    found = read_imagej(write(tmp_path / "a.zip", x=one, y=two, z=three), IMAGES)
    assert [shape.label for shape in found.images[0].objects] == ["nucleus", "group 3", "object"]
    assert [shape.number for shape in found.images[0].objects] == [12, None, None]
    assert set(np.unique(found.images[0].painted().ids)) == {0, 1, 2, 3}


def test_a_region_alone(tmp_path):
    box(ROI_TYPE.RECT, 0, 0, 2, 2).tofile(tmp_path / "a.roi")
    assert read_imagej(tmp_path / "a.roi", IMAGES).images[0].painted().ids.sum() == 4


def test_all_that_is_broken_is_told(tmp_path):
    whole = ImagejRoi.frompoints([[1, 1], [4, 1], [4, 3], [1, 3]]).tobytes()
    path = write(
        tmp_path / "a.zip",
        good=box(ROI_TYPE.RECT, 0, 0, 2, 2),
        none=b"",
        other=b"no region at all" * 10,
        half=whole[:70],
        two=ImagejRoi.frompoints([[1, 1], [4, 1]]),
    )
    with pytest.raises(ValueError, match=r"a\.zip cannot be converted") as caught:
        read_imagej(path, IMAGES)
    lines = str(caught.value).splitlines()[1:]
    names = [line.split(", ")[1].split(":")[0] for line in lines]
    assert names == ["none.roi", "other.roi", "half.roi", "two.roi"]


def test_a_set_that_is_cut_off(tmp_path):
    path = write(tmp_path / "a.zip", good=box(ROI_TYPE.RECT, 0, 0, 2, 2))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"a\.zip, the file: cannot be read"):
        read_imagej(path, IMAGES)
    with pytest.raises(ValueError, match="there is no image 'a' among the images"):
        read_imagej(path, {})


def test_roifile_reads_what_is_written(tmp_path):
    ids = np.zeros((20, 30), np.int32)
    ids[2:9, 3:12] = 4
    write_imagej(tmp_path / "a.rois.zip", ObjectImage("a", "a.tif", ids, {4: "cell"}))
    (roi,) = roiread(tmp_path / "a.rois.zip")
    assert roi.name == "4 cell"
    corners = sorted(map(tuple, roi.coordinates().tolist()))
    assert corners == [(3, 2), (3, 9), (12, 2), (12, 9)]
