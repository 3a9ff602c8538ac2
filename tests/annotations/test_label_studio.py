"""Label Studio: its JSON export, with a brush that its own converter encoded."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p.annotations import KnownImage, read_label_studio
from keras_unet3p.files import write_json

MASK = np.array(
    [
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 1, 0, 1, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
)
# Of label_studio_sdk.converter.brush.mask2rle(255 * MASK).
RLE = [0, 0, 0, 140, 57, 27, 254, 23, 0, 143, 254, 112, 11, 127, 247, 192, 35, 255, 140, 2, 63]
RLE += [251, 224, 22, 255, 241, 24, 0]


def result(value, kind="polygonlabels", identity="x", size=MASK.shape):
    sizes = {"original_height": size[0], "original_width": size[1], "image_rotation": 0}
    named = {"from_name": "label", "to_name": "image"}
    return {"id": identity, "type": kind, "value": value, **sizes, **named}


def brush(rle=RLE, label="cell", **options):
    value = {"format": "rle", "rle": rle, "brushlabels": [label]}
    return result(value, "brushlabels", **options)


def polygon(points, label="cell", **options):
    return result({"points": points, "polygonlabels": [label], "closed": True}, **options)


def task(*results, image="/data/upload/1/0a1b2c3d-cell%201.png", **options):
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": [*results], **options}]}


def read(tmp_path, *tasks, images=None):
    write_json(tmp_path / "export.json", list(tasks))
    return read_label_studio(tmp_path / "export.json", images)


def test_a_brush(tmp_path):
    (image,) = read(tmp_path, task(brush())).images
    assert image.name == "cell 1"
    np.testing.assert_array_equal(image.painted().ids, MASK)


def test_polygons_are_in_percent(tmp_path):
    corners = [[0, 0], [50, 0], [50, 100], [0, 100]]
    (image,) = read(tmp_path, task(polygon(corners, size=(4, 8)))).images
    np.testing.assert_array_equal(image.painted().ids, [[1, 1, 1, 1, 0, 0, 0, 0]] * 4)


def test_labels_beside_the_outline(tmp_path):
    drawn = result({"points": [[0, 0], [50, 0], [50, 50]]}, "polygon")
    named = result({"labels": ["nucleus"]}, "labels")
    assert read(tmp_path, task(drawn, named)).labels() == ["nucleus"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/a/b.png?token=1", "b"),
        ("/data/local-files/?d=folder/c.tif", "c"),
        ("/data/upload/1/0a1b2c3d-d.png", "d"),
        ("s3://bucket/0a1b2c3d-e.png", "0a1b2c3d-e"),
    ],
)
def test_names_of_images(tmp_path, address, name):
    assert read(tmp_path, task(brush(), image=address)).images[0].name == name


def test_names_that_the_images_have(tmp_path):
    known = KnownImage("x.png", *MASK.shape)
    for name in ("0a1b2c3d-e", "e"):
        found = read(tmp_path, task(image="s3://bucket/0a1b2c3d-e.png"), images={name: known})
        assert found.images[0].name == name


def test_what_is_left_out(tmp_path):
    box = result({"x": 1, "y": 2, "width": 3, "height": 4}, "rectanglelabels")
    two = task(brush(), box)
    two["annotations"].append({"result": [], "ground_truth": False})
    cancelled = task(brush(), was_cancelled=True)
    found = read(tmp_path, two, cancelled)
    assert len(found.images) == 1
    assert found.left_out == {
        "result of the type rectanglelabels": 1,
        "further annotation of a task": 1,
        "task that is not annotated": 1,
    }
    two["annotations"][1]["ground_truth"] = True
    found = read(tmp_path, two, images={"cell 1": KnownImage("cell 1.png", *MASK.shape)})
    assert found.images[0].objects == []


def test_all_that_is_broken_is_told(tmp_path):
    cases = {
        "ends too early": brush(RLE[:-4]),
        "ends too early ": brush([]),
        "are 140 of 8": brush([0, 0, 0, 200, *RLE[4:]]),
        "expected a list of bytes": brush([300]),
        "expected a list of bytes ": brush("abc"),
        "expected 'rle'": result({"format": "png"}, "brushlabels"),
        "is of 9 x 9 pixels": brush(size=(9, 9)),
        "image_rotation: 90": {**brush(), "image_rotation": 90},
        "a ring of shape": polygon([[0, 0]]),
        "original_width": brush(size=(5, -7)),
    }
    with pytest.raises(ValueError, match="cannot be converted") as caught:
        read(tmp_path, task(brush(), *cases.values()), {"data": {}}, task(image=""))
    text = str(caught.value)
    assert len(text.splitlines()) == len(cases) + 3
    for number, said in enumerate(cases, start=1):
        (line,) = (x for x in text.splitlines() if f"tasks[0].result[{number}]: " in x)
        assert said.strip() in line
    assert "tasks[1]: annotations: Field required" in text
    assert "tasks[2]: " in text
