from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p import data, images


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_image_labels_and_weights_side_by_side(channels):
    drawn, labels = data.generate_cells((60, 90), seed=1)
    image = drawn if channels is None else np.repeat(drawn[..., None], channels, axis=2)
    picture = images.weight_map_picture(image, labels, data.border_weight_map(labels))
    assert picture.dtype == np.uint8
    assert picture.shape == (88, 3 * 90 + 3 * 8 + 16, 3)
    shown, coloured, heat = (picture[28:, left : left + 90].astype(int) for left in (0, 98, 196))
    assert np.corrcoef(shown[..., 0].ravel(), drawn.ravel())[0, 1] > 0.999
    assert not coloured[labels == 0].any()
    colours = {tuple(coloured[labels == cell][0]) for cell in range(1, labels.max() + 1)}
    assert len(colours) == labels.max()
    for cell in range(1, labels.max() + 1):
        assert len(np.unique(coloured[labels == cell], axis=0)) == 1
    weights = data.border_weight_map(labels)
    assert np.corrcoef(heat.sum(-1).ravel(), weights.ravel())[0, 1] > 0.9


def test_flat_images_and_weights():
    flat = np.zeros((20, 30), int)
    assert images.weight_map_picture(flat, flat, flat).shape[0] == 48


@pytest.mark.parametrize(
    ("image", "labels"), [((20, 30), (20, 31)), ((20, 30, 2), (20, 30)), ((20,), (20, 30))]
)
def test_sizes_that_differ_are_refused(image, labels):
    with pytest.raises(ValueError, match=r"expected \(H, W\[, 1 or 3\]\)"):
        images.weight_map_picture(np.zeros(image), np.zeros(labels, int), np.zeros(labels))
