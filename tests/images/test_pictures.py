"""Overlays, contours and panels."""

import os
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest

from keras_unet3p import data, images
from keras_unet3p.images import pictures
from keras_unet3p.images.pictures import PREDICTION_COLOUR, TRUTH_COLOUR


def test_to_rgb_stretches_any_range_and_any_number_of_channels():
    ramp = np.linspace(-3.0, 5.0, 64 * 64, dtype=np.float32).reshape(64, 64)
    for image in (ramp, ramp[..., None], np.stack([ramp] * 3, -1), np.stack([ramp] * 5, -1)):
        picture = images.to_rgb(image)
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.uint8
        assert picture.min() == 0
        assert picture.max() == 255
    assert np.ptp(images.to_rgb(np.full((8, 8), 0.5))) == 0


def test_borders_separate_touching_labels():
    labels = np.zeros((5, 8), np.int32)
    labels[1:4, 1:4] = 1
    labels[1:4, 4:7] = 2
    borders = images.label_borders(labels)
    assert borders[2, 3]
    assert borders[2, 4]
    assert not borders[2, 2]
    assert not borders[0].any()


def test_overlay_draws_prediction_over_truth_and_leaves_the_rest():
    image = np.full((20, 20), 0.5, np.float32)
    image[0, 0], image[0, 1] = 0, 1
    prediction = np.zeros((20, 20), int)
    prediction[5:15, 5:15] = 1
    truth = np.roll(prediction, 3, axis=1)
    picture = images.overlay(image, prediction, truth, opacity=0.0)
    assert tuple(picture[5, 5]) == PREDICTION_COLOUR
    assert tuple(picture[10, 17]) == TRUTH_COLOUR
    np.testing.assert_array_equal(picture[2], images.to_rgb(image)[2])


def test_panel_holds_each_picture_unchanged_and_refuses_mixed_sizes():
    first = np.full((10, 30, 3), 10, np.uint8)
    second = np.full((10, 30, 3), 200, np.uint8)
    panel = images.panel([("a", first), ("b", second)], gap=4)
    assert panel.shape[1] == 64
    np.testing.assert_array_equal(panel[-10:, :30], first)
    np.testing.assert_array_equal(panel[-10:, 34:], second)
    with pytest.raises(ValueError, match="one size"):
        images.panel([("a", first), ("b", second[:5])])


def test_written_pictures_read_back(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 255
    images.write_picture(tmp_path / "red.png", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "red.png"))[..., 2], 255)
    ids = np.arange(24, dtype=np.uint16).reshape(4, 6) * 1000
    images.write_picture(tmp_path / "ids.png", ids)
    read = cv2.imread(str(tmp_path / "ids.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, ids)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_whose_bytes_are_not_utf8_is_written(tmp_path):
    """In a process of its own: what fails here ends it."""
    script = textwrap.dedent(
        """
        import os
        import numpy as np
        from keras_unet3p import images
        images.write_picture(os.fsdecode(b"a\\xff.png"), np.eye(4, dtype=np.uint8))
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    assert os.listdir(os.fsencode(tmp_path)) == [b"a\xff.png"]


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.p\udcff", "a.bmp"])
def test_a_format_that_cannot_hold_the_picture_is_refused_by_name(tmp_path, name):
    picture = np.zeros((4, 4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"^\S*a\S*: a picture of uint8 and shape"):
        images.write_picture(tmp_path / name, picture)
    assert not list(tmp_path.iterdir())


def test_unlabelled_pixels_are_grey_and_have_no_contour():
    truth = np.zeros((12, 12), int)
    truth[:, 4:8], truth[:, 8:] = 1, -1
    assert (images.pictures.mask_picture(truth)[:, 8:] == 112).all()
    assert (images.pictures.color_labels(np.where(truth == 1, 2, truth))[:, 8:] == 112).all()
    borders = images.pictures.label_borders(truth)
    assert borders[:, 4].all()
    assert not borders[:, 5:].any()


def test_neighbours_differ_in_colour():
    _, labels = data.generate_cells((300, 400), seed=4)
    colours = pictures.color_labels(labels)
    of_label = {label: colours[labels == label] for label in np.unique(labels)}
    assert all((found == found[0]).all() for found in of_label.values()), "one colour each"
    for shift in (1, 2, 3):
        for axis in (0, 1):
            other = np.roll(labels, shift, axis)
            touch = (labels > 0) & (other > 0) & (labels != other)
            touch[:shift] = touch[:, :shift] = False
            apart = np.abs(colours.astype(int) - np.roll(colours, shift, axis)).sum(-1)
            assert apart[touch].min() > 60
    assert len({tuple(found[0]) for found in of_label.values()}) > 5


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (9, 2)])
@pytest.mark.parametrize("value", [0, 1, 70_000, -1])
def test_colours_of_small_images(shape, value):
    assert pictures.color_labels(np.full(shape, value)).shape == (*shape, 3)


def test_what_is_wrong_with_instances_shows_in_colours():
    truth = np.zeros((60, 200), int)
    truth[10:30, 10:30] = 1
    missed = np.zeros(truth.shape, bool)
    missed[10:30, 10:30] = True
    none = np.zeros_like(missed)
    errors = {name: missed if name == "missed" else none for name in pictures.ERROR_COLOURS}
    counts = {name: int(name == "missed") for name in errors}
    panel = pictures.instance_panel(np.zeros(truth.shape), truth, none.astype(int), errors, counts)
    last = panel[pictures.CAPTION_HEIGHT :, -200:]
    inside = last[15:25, 15:25].reshape(-1, 3)
    assert (inside == np.array(pictures.ERROR_COLOURS["missed"]) // 2).all()
    assert (last[10, 10:30] == pictures.TRUTH_COLOUR).all()
