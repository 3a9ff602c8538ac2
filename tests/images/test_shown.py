"""Images and masks in a notebook."""

import cv2
import numpy as np
import pytest

import keras_unet3p as ku
from keras_unet3p.images.pictures import CAPTION_HEIGHT, PREDICTION_COLOUR, TRUTH_COLOUR


def _has(pixels, colour):
    return (pixels == colour).all(-1).any()


@pytest.fixture
def cells():
    image, ids = ku.data.generate_cells(64, seed=1)
    return image, ids


def test_a_notebook_gets_a_png_of_the_pixels(cells, tmp_path):
    shown = ku.show(*cells)
    decoded = cv2.imdecode(np.frombuffer(shown._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], shown.pixels)
    shown.save(tmp_path / "a.png")
    saved = cv2.imread(str(tmp_path / "a.png"))
    np.testing.assert_array_equal(saved[..., ::-1], shown.pixels)


@pytest.mark.parametrize(("given", "parts"), [((), 1), ((1,), 2), ((1, 2), 3)])
def test_there_is_a_part_for_each_and_one_that_compares(cells, given, parts):
    image, ids = cells
    shown = ku.show(image, *[np.roll(ids, shift) for shift in given])
    if parts < 3:
        assert shown.pixels.shape[:2] == (256 + CAPTION_HEIGHT, parts * 256 + (parts - 1) * 6)
    else:
        last = shown.pixels[CAPTION_HEIGHT:, 3 * 262 :]
        assert shown.pixels.shape[1] == 4 * 256 + 3 * 6
        assert _has(last, TRUTH_COLOUR)
        assert _has(last, PREDICTION_COLOUR)


def test_contours_lie_where_the_mask_ends():
    mask = np.zeros((256, 256), int)
    mask[100:150, 60:90] = 1
    drawn = ku.show(np.zeros((256, 256)), mask).pixels[CAPTION_HEIGHT:, 262:]
    found = np.argwhere((drawn == PREDICTION_COLOUR).all(-1))
    assert found.min(0).tolist() == [100, 60]
    assert found.max(0).tolist() == [149, 89]


def test_the_legend_has_the_colours_of_the_classes():
    mask = np.repeat([[0, 1, 2, 3]], 256, 0).repeat(64, 1)
    shown = ku.show(np.zeros((256, 256)), mask, class_names=["background", "nerve", "vessel"])
    caption = shown.pixels[:CAPTION_HEIGHT, 262:]
    colours = ku.images.pictures.color_labels(mask)[0, 64:192:64].astype(int)
    for colour in colours:  # of smooth letters: nearly
        assert np.abs(caption - colour).max(-1).min() < 20


@pytest.mark.parametrize("shape", [(3000, 2000), (20, 4000), (4000, 20), (1, 1), (300, 300, 5)])
def test_any_size_fits_a_notebook(shape):
    height, width, _ = ku.show(np.random.default_rng(0).random(shape)).pixels.shape
    assert height <= 1024 + CAPTION_HEIGHT
    assert width <= 1024


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (((8,),), r"image has shape \(8,\)"),
        (((8, 8), (8, 9)), r"mask has shape \(8, 9\); expected \(8, 8\)"),
        (((8, 8, 3), (8, 8), (8, 8, 1)), r"truth has shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        ku.show(*map(np.zeros, arrays))
