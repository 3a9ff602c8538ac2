from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import data


@pytest.mark.parametrize(
    ("patch_size", "scored_size"),
    [(32, None), (48, None), (200, None), (64, 30), (40, 2), (92, 20)],
)
def test_each_pixel_is_scored_once(cells, patch_size, scored_size):
    dataset = data.validation_pipeline(
        cells.subset([6, 0, 3]), patch_size=patch_size, batch_size=5, scored_size=scored_size
    )
    total = sum(height * width for height, width in cells.subset([6, 0, 3]).shapes)
    scored_images, scored_masks = [], []
    for image, mask, weight in dataset:
        assert set(np.unique(weight)) <= {0.0, 1.0}
        scored_images.append(image.numpy()[weight.numpy() == 1])
        scored_masks.append(mask.numpy()[weight.numpy() == 1])
    values, masks = np.concatenate(scored_images), np.concatenate(scored_masks)
    assert len(values) == len(masks) == total
    expected = [cells[index] for index in (6, 0, 3)]
    np.testing.assert_array_equal(
        np.sort(values.ravel()), np.sort(np.concatenate([s.image.ravel() for s in expected]))
    )
    assert masks.sum() == sum(np.count_nonzero(sample.labels) for sample in expected)


@pytest.mark.parametrize(("patch_size", "scored_size"), [(32, 32), (48, 20)])
def test_a_tile_is_a_part_of_the_mirrored_image(patch_size, scored_size):
    """Grey values say where a pixel lies, so that each tile can be checked against the image."""
    height, width = 50, 77
    image = np.arange(height * width, dtype=np.float64).reshape(height, width)
    labels = (image % 3 == 0).astype(np.uint8)
    folder = data.open_images([image + 1e6], [labels])
    assert folder.value_scale == "raw"
    plane = np.pad(image, 100, mode="reflect")
    halo = (patch_size - scored_size) // 2
    seen = np.zeros((height, width), int)
    dataset = data.validation_pipeline(
        folder, patch_size=patch_size, batch_size=1, scored_size=scored_size
    )
    for tile, mask, weight in dataset:
        tile, mask, weight = tile[0, ..., 0].numpy() - 1e6, mask[0].numpy(), weight[0].numpy()
        row, column = divmod(int(tile[halo, halo]), width)
        top, left = row - halo + 100, column - halo + 100
        expected = plane[top : top + patch_size, left : left + patch_size]
        np.testing.assert_array_equal(tile, expected)
        np.testing.assert_array_equal(mask, expected % 3 == 0)
        # The last tiles of a row or column see the image, not its mirror image, where they can.
        assert row + scored_size <= height
        assert column + scored_size <= width
        inside = np.argwhere(weight == 1)
        assert inside.min() >= halo
        assert inside.max() < halo + scored_size
        rows, columns = inside.T
        seen[rows + row - halo, columns + column - halo] += 1
    np.testing.assert_array_equal(seen, 1)


def test_images_smaller_than_a_tile_are_filled_by_mirroring():
    image = np.random.default_rng(0).integers(0, 256, (9, 5), np.uint8)
    folder = data.open_images([image], [image > 100])
    ((tile, mask, weight),) = data.validation_pipeline(folder, patch_size=32, batch_size=4)
    np.testing.assert_allclose(
        tile[0, ..., 0], np.pad(image, ((0, 23), (0, 27)), mode="reflect") / 255, atol=1e-6
    )
    np.testing.assert_array_equal(weight[0].numpy().sum(), 45)
    np.testing.assert_array_equal(weight[0, :9, :5], 1)
    np.testing.assert_array_equal(mask[0].numpy(), tile[0, ..., 0].numpy() > 100 / 255)


def test_it_is_finite_in_fixed_order_and_keeps_the_rest(cells):
    dataset = data.validation_pipeline(cells, patch_size=40, batch_size=7)
    specs = dataset.element_spec
    assert [spec.shape.as_list() for spec in specs] == [
        [None, 40, 40, 1],
        [None, 40, 40],
        [None, 40, 40],
    ]
    assert [spec.dtype for spec in specs] == [tf.float32, tf.int32, tf.float32]
    first, second = list(dataset), list(dataset)
    tiles = sum(-(-height // 40) * -(-width // 40) for height, width in cells.shapes)
    assert sum(len(batch[0]) for batch in first) == tiles
    assert int(dataset.cardinality()) == len(first) == -(-tiles // 7)
    for one, two in zip(first, second, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 0}, "patch_size is 0; expected"),
        ({"batch_size": 0}, "batch_size is 0; expected"),
        ({"scored_size": 33}, r"scored_size is 33; expected 1 to patch_size \(32\)"),
        ({"scored_size": 31}, "smaller by an even number"),
    ],
)
def test_arguments_out_of_range(cells, options, message):
    with pytest.raises(ValueError, match=message):
        data.validation_pipeline(cells, **{"patch_size": 32, "batch_size": 2, **options})


@pytest.mark.parametrize(
    ("patch_size", "scored_size"), [(32, None), (48, 20), (200, None)], ids=["32", "48", "200"]
)
def test_with_a_mean_of_one_the_mean_over_tiles_is_that_over_the_images(
    cells, patch_size, scored_size
):
    """For a loss that averages the pixels of each tile's output."""
    folder = cells.subset([6, 0, 3])
    scored = scored_size or patch_size
    halo = (patch_size - scored) // 2
    inner = np.s_[:, halo : halo + scored, halo : halo + scored]
    options = {"patch_size": patch_size, "batch_size": 5, "scored_size": scored_size}
    losses = [
        (image[..., 0] ** 2 * weight).numpy()[inner].mean((1, 2))
        for image, _, weight in data.validation_pipeline(folder, unit_mean=True, **options)
    ]
    expected = np.concatenate([sample.image.ravel() for sample in folder]) ** 2
    np.testing.assert_allclose(np.concatenate(losses).mean(), expected.mean(), rtol=1e-4)


def test_border_weights_are_those_of_the_training():
    """Where a tile is a patch: an image of the patch's size, not augmented."""
    samples = [data.generate_cells((40, 40), seed=seed) for seed in range(4)]
    folder = data.open_images(*zip(*samples, strict=True), mask_kind="instances")
    weights = {"class_balance": data.class_balance(folder), "w0": 7.0}
    options = {"patch_size": 40, "batch_size": 4, "separation": 1}
    plain = data.Augmentation.none()
    (training,) = data.training_pipeline(
        folder, augmentation=plain, steps=1, border_weights={"w0": 7.0}, **options
    )
    (validation,) = data.validation_pipeline(folder, border_weights=weights, **options)
    order = [
        int(np.argmin([np.abs(patch - tile).max() for tile in validation[0]]))
        for patch in training[0]
    ]
    assert sorted(order) == [0, 1, 2, 3]
    for ours, theirs in zip(validation, training, strict=True):
        np.testing.assert_allclose(ours.numpy()[order], theirs, rtol=1e-6)
    assert len(np.unique(validation[2])) > 10
    with pytest.raises(ValueError, match="border_weights holds 'instances'"):
        data.validation_pipeline(folder, border_weights={"instances": True}, **options)
