"""What is readable and looks wrong."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p import data


@pytest.fixture(scope="module")
def cells():
    pairs = [data.generate_cells((160, 176), seed=seed) for seed in range(6)]
    return [image for image, _ in pairs], [labels for _, labels in pairs]


def _found(images, masks, **options):
    opened = data.open_images(images, masks, **options)
    return {suspicion.kind: suspicion for suspicion in data.find_suspicions(opened)}


def test_nothing_is_wrong_with_a_good_set(cells):
    assert _found(*cells) == {}


@pytest.mark.parametrize("shift", [(6, 0), (0, -9), (8, 8), (-14, 3)])
def test_a_mask_that_is_shifted(cells, shift):
    images, masks = cells
    moved = [np.roll(masks[0], shift, (0, 1)), *masks[1:]]
    assert _found(images, moved, mask_kind="instances")["shifted"].names == ["0000"]


def test_swapped_folders(cells):
    images, masks = cells
    binary = [(mask > 0).astype(np.uint8) for mask in masks]
    found = _found(binary, images, mask_kind="classes", classes=256)
    assert list(found) == ["swapped"]
    assert found["swapped"].is_error


@pytest.mark.parametrize(("value", "what"), [(0, "background"), (1, "foreground")])
def test_masks_of_one_value(cells, value, what):
    images, masks = cells
    found = _found(images, [np.full_like(mask, value) for mask in masks], mask_kind="binary")
    assert list(found) == ["one value"]
    assert found["one value"].text == f"every labelled pixel of the masks is {what}"
    assert found["one value"].is_error


def test_single_images(cells):
    images, masks = list(cells[0]), list(cells[1])
    images[1] = np.full_like(images[1], 7)
    images[2] = images[0]
    y, x = np.mgrid[: images[3].shape[0], : images[3].shape[1]]
    images[3] = ((y + x) / (y + x).max() * 255).astype(np.uint8)
    masks[4] = np.zeros_like(masks[4])
    found = _found(images, masks, mask_kind="instances")
    names = {kind: suspicion.names for kind, suspicion in found.items()}
    assert names["empty image"] == ["0001"]
    assert names["duplicate"] == ["0000", "0002"]
    assert names["blurred"] == ["0003"]
    assert names["empty mask"] == ["0004"]
    assert not any(suspicion.is_error for suspicion in found.values())
