"""Which format a file is of."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p.annotations import KnownImage, find_format, read_annotations
from keras_unet3p.files import write_json
from keras_unet3p.images import write_labels

EMPTY = {"type": "FeatureCollection", "features": []}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"images": [], "annotations": [], "categories": []}, "coco"),
        ({"shapes": [], "imagePath": "a.png"}, "labelme"),
        (EMPTY, "geojson"),
        ([{"type": "Feature"}], "geojson"),
        ([{"id": 1, "data": {}, "annotations": []}], "labelstudio"),
    ],
)
def test_what_json_holds(tmp_path, content, name):
    write_json(tmp_path / "a.json", content)
    write_labels(tmp_path / "a.png", np.zeros((2, 2), np.uint8))  # LabelMe's lie beside images
    assert find_format(tmp_path / "a.json") == find_format(tmp_path) == name


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.roi", "imagej"), ("a.zip", "imagej"), ("a.geojson", "geojson"), ("a.tif", "masks")],
)
def test_what_suffixes_say(tmp_path, name, found):
    (tmp_path / name).touch()
    assert find_format(tmp_path) == found


def test_what_is_none(tmp_path):
    with pytest.raises(ValueError, match="there is no file or folder"):
        find_format(tmp_path / "a")
    with pytest.raises(ValueError, match="holds no annotations"):
        find_format(tmp_path)
    for content, said in (
        ("{}", "neither COCO, LabelMe"),
        ('[{"image": "a.png"}]', "as JSON-MIN; export it as JSON"),
        ("[1]", "neither COCO"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(ValueError, match=said):
            find_format(tmp_path)


def test_problems_of_all_files_are_told_at_once(tmp_path):
    images = {name: KnownImage(f"{name}.png", 2, 3) for name in "abc"}
    write_json(tmp_path / "a.geojson", EMPTY)
    (tmp_path / "b.geojson").write_text("{")
    write_json(tmp_path / "c.geojson", {**EMPTY, "features": [1, 2]})
    write_json(tmp_path / "d.geojson", EMPTY)
    with pytest.raises(ValueError, match="cannot be converted") as caught:
        read_annotations(tmp_path, "geojson", images)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 4
    assert "b.geojson: is no JSON" in lines[0]
    assert "c.geojson, features[0]" in lines[1]
    assert "there is no image 'd' among the images" in lines[3]


def test_sizes_have_to_come_from_somewhere(tmp_path):
    with pytest.raises(ValueError, match="imagej tells no sizes of images"):
        read_annotations(tmp_path, "imagej")


def test_two_files_of_one_image(tmp_path):
    for name in "ab":
        content = {"imagePath": "x.png", "imageHeight": 2, "imageWidth": 3, "shapes": []}
        write_json(tmp_path / f"{name}.json", content)
    with pytest.raises(ValueError, match="both annotate the image 'x'"):
        read_annotations(tmp_path, "labelme")
