"""`convert`: its options, what it tells, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from keras_unet3p import cli
from keras_unet3p.annotations import ObjectImage, write_coco
from keras_unet3p.files import write_json
from keras_unet3p.images import read_labels, write_labels
from keras_unet3p.workflow import convert

IDS = np.array([[1, 1, 0, 2], [1, 0, 0, 2], [-1, -1, 0, 3]], np.int32)
LABELS = {1: "nerve", 2: "vessel", 3: "nerve", -1: "vessel"}


@pytest.fixture
def coco(tmp_path):
    path = tmp_path / "coco" / "a.json"
    image = ObjectImage("a", "a.png", IDS, LABELS)
    write_coco(path, [image], {"nerve": 1, "vessel": 2})
    return path


def mask(folder, name="a.png"):
    return read_labels(folder / name)[0]


def test_instances_of_16_bits(coco, tmp_path):
    done = convert(coco, out=tmp_path / "out", to="masks")
    assert done.files == [tmp_path / "out" / "a.png"]
    assert (done.images, done.objects) == (1, 3)
    assert done.notes == ["left out, crowds: 1"]
    assert Image.open(done.files[0]).mode.startswith("I;16")
    np.testing.assert_array_equal(mask(tmp_path / "out"), np.maximum(IDS, 0))


def test_crowds_have_a_value_of_their_own(coco, tmp_path):
    done = convert(coco, out=tmp_path / "out", to="masks", crowd=255)
    assert not done.notes
    np.testing.assert_array_equal(mask(tmp_path / "out"), np.where(IDS < 0, 255, IDS))


def test_class_masks_and_their_names(coco, tmp_path):
    done = convert(coco, out=tmp_path / "out", to="masks", kind="classes")
    assert done.classes == ["background", "nerve", "vessel"]
    assert not done.notes
    names = json.loads((tmp_path / "out" / "classes.json").read_text())
    assert names == {"background": 0, "nerve": 1, "vessel": 2}
    expected = [[1, 1, 0, 2], [1, 0, 0, 2], [2, 2, 0, 1]]
    np.testing.assert_array_equal(mask(tmp_path / "out"), expected)


def test_classes_in_another_order(coco, tmp_path):
    chosen = ["none", "vessel", "x", "nerve"]
    convert(coco, out=tmp_path / "out", to="masks", kind="classes", classes=chosen)
    expected = [[3, 3, 0, 1], [3, 0, 0, 1], [1, 1, 0, 3]]
    np.testing.assert_array_equal(mask(tmp_path / "out"), expected)
    with pytest.raises(ValueError, match="classes: the source has nerve too"):
        convert(coco, out=tmp_path / "out", to="masks", classes=["none", "vessel"])
    with pytest.raises(ValueError, match="a name is given twice"):
        convert(coco, out=tmp_path / "out", to="masks", classes=["none", "vessel", "vessel"])


def test_objects_of_the_background_are_left_out(coco, tmp_path):
    chosen = ["nerve", "vessel"]
    done = convert(coco, out=tmp_path / "out", to="masks", kind="classes", classes=chosen)
    assert done.notes == ["left out, object of the background: 2"]
    np.testing.assert_array_equal(
        mask(tmp_path / "out"), [[0, 0, 0, 1], [0, 0, 0, 1], [1, 1, 0, 0]]
    )


def test_crowds_stay_crowds_in_coco(coco, tmp_path):
    convert(coco, out=tmp_path / "out", to="coco")
    found = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [one["iscrowd"] for one in found["annotations"]] == [1, 0, 0, 0]
    assert [one["name"] for one in found["categories"]] == ["nerve", "vessel"]


def test_more_than_65535_objects_become_a_tiff(tmp_path):
    ids = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    write_labels(tmp_path / "masks" / "a.tif", ids)
    done = convert(tmp_path / "masks", out=tmp_path / "out", to="masks")
    assert done.files == [tmp_path / "out" / "a.tif"]
    assert tifffile.imread(done.files[0]).dtype == np.uint32
    np.testing.assert_array_equal(mask(tmp_path / "out", "a.tif"), ids)


def test_names_of_images_come_from_their_folder(tmp_path):
    write_labels(tmp_path / "masks" / "a.png", np.ones((2, 3), np.uint8))
    (tmp_path / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (3, 2)).save(tmp_path / "images" / f"{name}.jpg")
    images = tmp_path / "images"
    done = convert(tmp_path / "masks", out=tmp_path / "out", to="labelme", images=images)
    assert done.notes == ["images that the source does not name: 1"]
    found = json.loads((tmp_path / "out" / "a.json").read_text())
    assert (found["imagePath"], found["imageHeight"]) == ("a.jpg", 2)


def test_classes_of_masks(tmp_path):
    ids = np.array([[1, 1, 0, 3], [0, 0, 0, 3]], np.uint8)
    write_labels(tmp_path / "masks" / "a.png", ids)
    done = convert(tmp_path / "masks", out=tmp_path / "out", to="labelme", kind="classes")
    assert done.classes == ["background", "class 1", "class 3"]
    chosen = ["none", "x", "y", "z"]
    convert(tmp_path / "masks", out=tmp_path / "o2", to="labelme", kind="classes", classes=chosen)
    shapes = json.loads((tmp_path / "o2" / "a.json").read_text())["shapes"]
    assert [one["label"] for one in shapes] == ["x", "z"]
    with pytest.raises(ValueError, match=r"a\.png: holds the class id 3; classes has 3 names"):
        convert(
            tmp_path / "masks", out=tmp_path / "o3", to="coco", kind="classes", classes=chosen[:3]
        )
    one = ["none", "cell"]
    done = convert(tmp_path / "masks", out=tmp_path / "o4", to="coco", classes=one)
    assert done.classes == one
    with pytest.raises(ValueError, match="the background and one more"):
        convert(tmp_path / "masks", out=tmp_path / "o5", to="coco", classes=chosen)


def test_all_broken_masks_are_told_and_nothing_is_written(tmp_path):
    for name in "abc":
        write_labels(tmp_path / "masks" / f"{name}.png", np.ones((2, 3), np.uint8))
    (tmp_path / "masks" / "b.png").write_bytes(b"no image")
    np.save(tmp_path / "masks" / "d.npy", np.zeros((4, 30, 20), np.uint8))
    write_labels(tmp_path / "images" / "a.png", np.ones((2, 4), np.uint8))
    with pytest.raises(ValueError, match="cannot be converted") as caught:
        convert(tmp_path / "masks", out=tmp_path / "out", to="coco", images=tmp_path / "images")
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 4
    assert "a.png: annotated as 2 x 3 pixels, but a.png is 2 x 4" in lines[0]
    assert "b.png: " in lines[1]
    assert "c.png: there is no image 'c' among the images" in lines[2]
    assert "d.npy: holds 4 masks" in lines[3]
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over_what_is_read(coco, tmp_path):
    write_labels(tmp_path / "images" / "a.png", np.ones(IDS.shape, np.uint8))
    with pytest.raises(ValueError, match="is the folder of images"):
        convert(coco, out=tmp_path / "images", to="masks", images=tmp_path / "images")
    with pytest.raises(ValueError, match="is the folder of source"):
        convert(coco, out=coco.parent, to="coco")


def test_an_object_below_another_is_told(tmp_path):
    shape = {"label": "a", "points": [[0, 0], [2, 2]], "shape_type": "rectangle"}
    sizes = {"imageHeight": 3, "imageWidth": 3}
    content = {"imagePath": "a.png", "shapes": [shape, shape], **sizes}
    write_json(tmp_path / "set" / "a.json", content)
    done = convert(tmp_path / "set", out=tmp_path / "out", to="masks")
    assert done.objects == 1
    assert done.notes == ["objects in no pixel, too small or below others: 1"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"to": "voc"}, "to is 'voc'; accepted are masks, coco"),
        ({"source_format": "voc"}, "from is 'voc'; accepted are masks, coco"),
        ({"kind": "voc"}, "kind is 'voc'; accepted are instances, classes"),
        ({"crowd": -1}, "crowd is -1; expected a mask value"),
        ({"max_pixels": 3}, "max_pixels"),
    ],
)
def test_what_is_not_accepted(coco, tmp_path, option, said):
    with pytest.raises(ValueError, match=said):
        convert(coco, **{"out": tmp_path / "out", "to": "masks", **option})
    assert not (tmp_path / "out").exists()


def run(*arguments):
    return CliRunner().invoke(cli.app, ["convert", *map(str, arguments)])


def test_the_command(coco, tmp_path):
    done = run(coco, "--out", tmp_path / "out", "--to", "masks", "--kind", "classes")
    assert done.exit_code == 0, done.output
    assert "classes: background,nerve,vessel" in done.output
    assert "3 objects of 1 images in" in done.output
    done = run(tmp_path / "out", "--from", "masks", "--out", tmp_path / "o2", "--to", "labelme")
    assert done.exit_code == 0, done.output
    refused = run(coco, "--out", tmp_path / "o3", "--to", "masks", "--classes", "3")
    assert "expected names between commas" in str(refused.exception)


def test_the_command_does_without_tensorflow(coco, tmp_path):
    code = (
        "import sys\nfrom keras_unet3p import cli\n"
        f"sys.argv = ['unet3p', 'convert', {str(coco)!r}, '--out', {str(tmp_path / 'out')!r},"
        " '--to', 'masks']\n"
        "try:\n    cli.main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert (tmp_path / "out" / "a.png").exists()
