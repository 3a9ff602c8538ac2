"""COCO: as its own library, pycocotools, reads and writes it."""

from __future__ import annotations

import contextlib
import copy
import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_unet3p.annotations import ObjectImage, read_coco, write_coco
from keras_unet3p.annotations.coco import _decompressed
from keras_unet3p.annotations.raster import run_lengths
from keras_unet3p.errors import MissingExtraError
from keras_unet3p.files import write_json

pytest.importorskip("pycocotools")
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

HEIGHT, WIDTH = 20, 30
RING = [2.5, 3.25, 21.0, 4.5, 17.75, 18.0, 6.0, 12.125]


def content(*segmentations, iscrowd=0):
    image = {"id": 9, "file_name": "folder/a.png", "height": HEIGHT, "width": WIDTH}
    annotations = [
        {"id": 5 + n, "image_id": 9, "category_id": 3, "segmentation": found, "iscrowd": iscrowd}
        for n, found in enumerate(segmentations)
    ]
    categories = [{"id": 3, "name": "cell"}, {"id": 4, "name": "debris"}]
    return {"images": [image], "annotations": annotations, "categories": categories}


def read(tmp_path, *segmentations, **options):
    write_json(tmp_path / "a.json", content(*segmentations, **options))
    return read_coco(tmp_path / "a.json")


def opened(path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(-5, 35), min_size=6, max_size=12), min_size=1, max_size=3))
def test_polygons_have_the_pixels_of_the_library(tmp_path_factory, rings):
    rings = [ring[: len(ring) // 2 * 2] for ring in rings]
    tmp_path = tmp_path_factory.mktemp("coco")
    (image,) = read(tmp_path, rings).images
    coco = opened(tmp_path / "a.json")
    expected = coco.annToMask(coco.anns[5])
    np.testing.assert_array_equal(image.painted().ids, expected)


@settings(max_examples=40, deadline=None)
@given(st_numpy.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.integers(0, 1)))
def test_compressed_run_lengths_are_those_of_the_library(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask))
    if mask.any():
        expected = run_lengths(np.flatnonzero(mask.T), mask.size)
        np.testing.assert_array_equal(_decompressed(encoded["counts"]), expected)


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths(tmp_path, compressed):
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
    counts = run_lengths(np.flatnonzero(mask.T), mask.size).tolist()
    if compressed:
        counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    (image,) = read(tmp_path, {"size": [HEIGHT, WIDTH], "counts": counts}).images
    assert (image.name, image.file) == ("a", "a.png")
    np.testing.assert_array_equal(image.painted().ids, mask)


def test_the_smallest_is_on_top_and_crowds_are_below(tmp_path):
    box = [0, 0, 10, 0, 10, 10, 0, 10]
    small = [2, 2, 4, 2, 4, 4, 2, 4]
    (image,) = read(tmp_path, [small], [box]).images
    ids = image.painted().ids
    assert (ids[3, 3], ids[0, 0], (ids == 1).sum()) == (1, 2, 4)
    crowd = content([[0, 0, 3, 0, 3, 3, 0, 3]], [box])
    crowd["annotations"][0]["iscrowd"] = 1
    write_json(tmp_path / "b.json", crowd)
    painted = read_coco(tmp_path / "b.json").images[0].painted()
    assert set(np.unique(painted.ids)) == {0, 1}
    assert painted.labels == {-1: "cell", 1: "cell"}


def test_the_library_reads_what_is_written(tmp_path):
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    ids[2:9, 3:12] = 4
    ids[4:6, 5:7] = 0
    ids[9:15, 0:5] = 2
    ids[18, 29] = 2
    ids[0:2, 20:30] = -1
    image = ObjectImage("a", "a.png", ids, {4: "cell", 2: "debris", -1: "cell"})
    assert write_coco(tmp_path / "a.json", [image], {"cell": 1, "debris": 2}) == 3
    coco = opened(tmp_path / "a.json")
    assert [category["name"] for category in coco.cats.values()] == ["cell", "debris"]
    crowd, pieces, with_hole = (coco.anns[number] for number in (1, 2, 3))
    assert crowd["iscrowd"] == 1
    assert isinstance(pieces["segmentation"], list)
    assert isinstance(with_hole["segmentation"], dict)
    for annotation, number in ((crowd, -1), (pieces, 2), (with_hole, 4)):
        np.testing.assert_array_equal(coco.annToMask(annotation), ids == number)
        assert annotation["area"] == (ids == number).sum()
        encoded = coco.annToRLE(annotation)
        assert coco_mask.toBbox(encoded).tolist() == annotation["bbox"]


def test_boxes_are_left_out(tmp_path):
    found = read(tmp_path, [], [RING])
    assert found.left_out == {"box without an outline": 1}
    assert len(found.images[0].objects) == 1


def test_all_that_is_broken_is_told(tmp_path):
    size = [HEIGHT, WIDTH]
    broken = content(
        [RING],
        [[1, 2, 3, 4]],
        [[1, 2, 3]],
        {"size": size, "counts": [1, 2, 3]},
        {"size": size, "counts": "abc\x7f"},
        {"size": size, "counts": "01P"},
        {"size": size, "counts": [1, "a"]},
        {"size": size, "counts": [2**70]},
        {"size": [1, 1], "counts": [1]},
        "mask",
        [RING],
        [RING],
        [["x"] * 6],
    )
    broken["annotations"][10]["image_id"] = 77
    broken["annotations"][11]["category_id"] = 77
    write_json(tmp_path / "a.json", broken)
    with pytest.raises(ValueError, match=r"a\.json cannot be converted") as caught:
        read_coco(tmp_path / "a.json")
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 12
    for number, line in enumerate(lines, start=1):
        assert f"annotations[{number}]: " in line
    assert "the runs hold 6 pixels, the image 600" in lines[2]
    assert "there is no image 77" in lines[9]
    assert "there is no category 77" in lines[10]


def test_broken_images_are_told_without_their_annotations(tmp_path):
    broken = content([RING])
    broken["images"] = [{"id": 9, "file_name": "a.png", "height": 0, "width": 3}, {"id": 1}]
    write_json(tmp_path / "a.json", broken)
    with pytest.raises(ValueError, match="cannot be converted") as caught:
        read_coco(tmp_path / "a.json")
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(", ")[1].split(":")[0] for line in lines] == ["images[0]", "images[1]"]


def test_an_image_may_not_claim_any_size(tmp_path):
    huge = copy.deepcopy(content())
    huge["images"][0]["height"] = 10**9
    write_json(tmp_path / "a.json", huge)
    with pytest.raises(ValueError, match=r"images\[0\]: a\.png: an image of 1000000000 x 30"):
        read_coco(tmp_path / "a.json")


def test_a_file_without_the_lists(tmp_path):
    write_json(tmp_path / "a.json", [])
    with pytest.raises(ValueError, match="categories is no list"):
        read_coco(tmp_path / "a.json")


def test_what_is_missing_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtraError, match=r'pip install "keras_unet3p\[annotations\]"'):
        read(tmp_path, [RING])
    with pytest.raises(MissingExtraError, match=r"annotations\.write_coco needs"):
        write_coco(tmp_path / "b.json", [], {})
    read(tmp_path, {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]})
