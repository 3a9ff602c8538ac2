"""LabelMe: shapes as its version 5 writes them."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from keras_unet3p.annotations import KnownImage, ObjectImage, read_labelme, write_labelme
from keras_unet3p.annotations.entries import read_json
from keras_unet3p.files import write_json


def png(mask) -> str:
    encoded = io.BytesIO()
    Image.fromarray(mask).save(encoded, "PNG")
    return base64.b64encode(encoded.getvalue()).decode()


def shape(points, kind="polygon", label="cell", group=None, **other):
    return {"label": label, "points": points, "shape_type": kind, "group_id": group, **other}


def read(tmp_path, *shapes, images=None, size=(20, 30)):
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "..\\images\\a.jpg",
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    write_json(tmp_path / "a.json", content)
    return read_labelme(tmp_path / "a.json", images)


def test_every_shape_of_an_area(tmp_path):
    mask = np.array([[True, False], [True, True]])
    found = read(
        tmp_path,
        shape([[1, 1], [4, 1], [4, 3], [1, 3]]),
        shape([[10, 4], [6, 2]], "rectangle"),
        shape([[20, 10], [20, 13]], "circle", "debris"),
        shape([[0, 18], [1, 19]], "mask", mask=png(mask)),
        shape([[3, 3]], "point"),
        shape([[3, 3], [5, 5]], "line"),
    )
    (image,) = found.images
    assert (image.name, image.file) == ("a", "a.jpg")
    ids = image.painted().ids
    assert [(ids == number).sum() for number in (1, 2, 4)] == [6, 8, 3]
    assert abs((ids == 3).sum() - np.pi * 9) < 4
    np.testing.assert_array_equal(ids[18:, :2], 4 * mask)
    assert found.labels() == ["cell", "debris"]
    assert found.left_out == {"shape of the type point": 1, "shape of the type line": 1}


def test_shapes_of_a_group_are_one_object(tmp_path):
    first, second = [[0, 0], [2, 0], [2, 2]], [[5, 5], [9, 5], [9, 9]]
    (image,) = read(tmp_path, shape(first, group=7), shape(second, group=7)).images
    assert [one.number for one in image.objects] == [7]
    (image,) = read(tmp_path, shape(first, group=7), shape(second, label="b", group=7)).images
    assert set(np.unique(image.painted().ids)) == {0, 1, 2}


def test_the_size_may_come_from_the_images(tmp_path):
    images = {"a": KnownImage("a.jpg", 20, 30)}
    (image,) = read(tmp_path, images=images, size=(None, None)).images
    assert image.painted().ids.shape == (20, 30)
    with pytest.raises(ValueError, match="give the images too"):
        read(tmp_path, size=(None, None))
    with pytest.raises(ValueError, match=r"annotated as 9 x 30 pixels, but a\.jpg is 20 x 30"):
        read(tmp_path, images=images, size=(9, 30))
    with pytest.raises(ValueError, match="there is no image 'a' among the images"):
        read(tmp_path, images={})


def test_all_that_is_broken_is_told(tmp_path):
    corners = [[0, 0], [1, 1]]
    cases = {
        "a ring of shape (2, 2)": shape(corners),
        "points: a circle has 2 points, found 1": shape([[0, 0]], "circle"),
        "mask: is no PNG": shape(corners, "mask", mask="abcd"),
        "mask: is not in base64": shape(corners, "mask", mask="?"),
        "mask: is 3 x 4 pixels": shape(corners, "mask", mask=png(np.ones((3, 4), np.uint8))),
        "far outside": shape([[0, 0], [1e9, 1]], "rectangle"),
        "label: Field required": {"points": corners},
        "points.0": shape([[0], [1, 1]]),
        "points.1.1": shape([[0, 0], [1, float("nan")]]),
    }
    with pytest.raises(ValueError, match="cannot be converted") as caught:
        read(tmp_path, *cases.values())
    lines = str(caught.value).splitlines()[1:]
    for number, (line, said) in enumerate(zip(lines, cases, strict=True)):
        assert f"shapes[{number}]: " in line
        assert said in line


def test_holes_become_a_mask_and_pieces_a_group(tmp_path):
    ids = np.zeros((8, 9), np.int32)
    ids[1:4, 1:4] = 5
    ids[2, 2] = 0
    ids[6, 6] = ids[7, 8] = 3
    write_labelme(tmp_path / "a.json", ObjectImage("a", "a.png", ids, {5: "cell", 3: "debris"}))
    shapes = read_json(tmp_path / "a.json")["shapes"]
    assert [(one["shape_type"], one["group_id"]) for one in shapes] == [
        ("polygon", 3),
        ("polygon", 3),
        ("mask", 5),
    ]
    stored = Image.open(io.BytesIO(base64.b64decode(shapes[2]["mask"])))
    np.testing.assert_array_equal(np.array(stored) > 0, ids[1:4, 1:4] == 5)
    assert shapes[2]["points"] == [[1, 1], [3, 3]]
