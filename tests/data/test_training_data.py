from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from keras_unet3p import data

NONE = data.Augmentation.none()


def batches(folder, threads: int | None = None, **options) -> list[tuple[np.ndarray, ...]]:
    options = {"patch_size": 32, "batch_size": 4, "steps": 3, "seed": 5, **options}
    dataset = data.training_pipeline(folder, **options)
    if threads is not None:
        threading = tf.data.Options()
        threading.threading.private_threadpool_size = threads
        dataset = dataset.with_options(threading)
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def assert_same(left, right) -> None:
    assert len(left) == len(right) > 0
    for one, two in zip(left, right, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


def binary_folder(*shapes: tuple[int, int], fill=None) -> data.LabeledImages:
    """Images whose first channel is the mask and whose second tells the images apart."""
    rng = np.random.default_rng(0)
    masks = [rng.random(shape) < 0.3 if fill is None else np.full(shape, fill) for shape in shapes]
    images = [
        np.dstack([mask * 255, np.full(mask.shape, 10 * number)]).astype(np.uint8)
        for number, mask in enumerate(masks)
    ]
    return data.open_images(images, masks)


def test_shapes_types_and_values(cells):
    for options, count in (({}, 2), ({"border_weights": {}}, 3)):
        dataset = data.training_pipeline(
            cells, patch_size=32, batch_size=4, steps=2, seed=0, **options
        )
        specs = dataset.element_spec
        assert [spec.shape.as_list() for spec in specs] == [
            [4, 32, 32, 1],
            [4, 32, 32],
            [4, 32, 32],
        ][:count]
        assert [spec.dtype for spec in specs] == [tf.float32, tf.int32, tf.float32][:count]
    for image, mask, weight in batches(cells, border_weights={}):
        assert 0 <= image.min() < image.max() <= 1
        assert set(np.unique(mask)) <= {0, 1}
        assert weight.min() > 0


def test_parallelism_does_not_matter(cells):
    one = batches(cells, threads=1, steps=6, border_weights={})
    assert_same(one, batches(cells, threads=8, steps=6, border_weights={}))
    assert_same(one, batches(cells, steps=6, border_weights={}))


def test_another_seed_gives_other_batches(cells):
    assert not np.array_equal(batches(cells, seed=1)[0][0], batches(cells, seed=2)[0][0])


@pytest.mark.parametrize("done", [1, 5, 11])
def test_it_resumes_exactly(cells, done):
    whole = batches(cells, steps=14, border_weights={})
    rest = batches(cells, steps=14 - done, first_sample=4 * done, border_weights={})
    assert_same(whole[done:], rest)


def test_a_sample_does_not_depend_on_the_batches(cells):
    by_four = np.concatenate([batch[0] for batch in batches(cells, steps=3, batch_size=4)])
    by_six = np.concatenate([batch[0] for batch in batches(cells, steps=2, batch_size=6)])
    np.testing.assert_array_equal(by_four, by_six)


def test_without_steps_it_has_no_end(cells):
    dataset = data.training_pipeline(cells, patch_size=16, batch_size=8, seed=0)
    assert len(list(dataset.take(5))) == 5


def test_an_epoch_holds_each_image_once_in_an_order_of_its_own():
    folder = binary_folder(*[(20, 20)] * 12)
    ((image, _),) = batches(folder, steps=1, batch_size=48, augmentation=NONE, patch_size=16)
    numbers = np.rint(image[:, 0, 0, 1] * 25.5).astype(int).reshape(4, 12)
    for epoch in numbers:
        assert sorted(epoch) == list(range(12))
    assert len({tuple(epoch) for epoch in numbers}) == 4


def test_image_and_mask_move_together():
    rng = np.random.default_rng(0)
    masks = [np.kron(rng.random((8, 9)) < 0.4, np.ones((12, 12))) > 0 for _ in range(4)]
    folder = data.open_images([mask.astype(np.uint8) * 255 for mask in masks], masks)
    shape_only = data.Augmentation(gamma=0, brightness=0, contrast=0, noise=0)
    for image, mask in batches(folder, augmentation=shape_only, patch_size=64):
        assert np.mean((image[..., 0] > 0.5) != (mask > 0)) < 0.02
        assert 0.1 < mask.mean() < 0.9


def test_plain_crops_are_exact():
    folder = binary_folder((40, 50), (50, 40))
    for image, mask in batches(folder, augmentation=NONE, patch_size=24):
        np.testing.assert_array_equal(image[..., 0], mask)


@pytest.mark.parametrize("augmentation", [NONE, data.Augmentation()])
def test_patches_larger_than_the_image_are_filled_by_mirroring(augmentation):
    folder = binary_folder((7, 11), (1, 5))
    ((image, mask),) = batches(folder, patch_size=40, steps=1, augmentation=augmentation)
    assert image.shape == (4, 40, 40, 2)
    assert np.isfinite(image).all()
    if augmentation is NONE:
        seen = 0
        for patch, patch_mask in zip(image, mask, strict=True):
            np.testing.assert_array_equal(patch[..., 0], patch_mask)
            source = folder[round(float(patch[0, 0, 1]) * 25.5)].image[..., 0]
            period = [2 * max(side - 1, 0) for side in source.shape]
            for axis, step in enumerate(period):
                if step:
                    moved = np.moveaxis(patch[..., 0], axis, 0)
                    np.testing.assert_array_equal(moved[step:], moved[:-step])
                    seen += 1
        assert seen >= 4


def test_crops_favour_the_foreground():
    mask = np.zeros((300, 300), bool)
    mask[200:206, 40:46] = True
    folder = data.open_images([mask.astype(np.uint8)], [mask])
    share = {}
    for probability in (0.0, 0.5, 1.0):
        ((_, masks),) = batches(
            folder, batch_size=200, steps=1, augmentation=NONE, foreground_probability=probability
        )
        share[probability] = np.mean(masks.any((1, 2)))
    assert share[0.0] < 0.1
    assert 0.35 < share[0.5] < 0.65
    assert share[1.0] == 1.0


def test_crops_favour_rare_classes():
    mask = np.zeros((200, 200), np.uint8)
    mask[:, :100] = 1
    mask[150:154, 150:154] = 2
    folder = data.open_images([mask], [mask], classes=3)
    ((_, masks),) = batches(
        folder, batch_size=200, steps=1, augmentation=NONE, foreground_probability=1.0
    )
    assert 0.35 < np.mean((masks == 2).any((1, 2))) < 0.65


def test_images_without_foreground_are_fine():
    for _, mask in batches(binary_folder((40, 40), fill=False), foreground_probability=1.0):
        assert not mask.any()


def test_weights_are_those_of_the_patch_as_augmented(cells):
    weighted = batches(cells, patch_size=48, border_weights={"w0": 7.0, "sigma": 4.0})
    plain = batches(cells, patch_size=48)
    balance = 0.5 / cells.class_frequencies
    for (image, mask, weight), (same_image, same_mask) in zip(weighted, plain, strict=True):
        np.testing.assert_array_equal(image, same_image)
        np.testing.assert_array_equal(mask, same_mask)
        border = weight - balance[mask]
        assert border.min() > -1e-5
        assert border.max() > 3
        # Weights peak where cells of the patch touch, so not in its background far from cells.
        far = ndimage.distance_transform_edt(np.pad(mask == 0, ((1, 1), (0, 0), (0, 0))))[1:-1]
        assert border[far > 25].max(initial=0) < 1e-4


def test_weights_without_augmentation_are_the_weight_map(cells):
    part = cells.subset([2])  # 72 x 72
    ((_, _, weight),) = batches(
        part,
        patch_size=72,
        batch_size=1,
        steps=1,
        augmentation=NONE,
        border_weights={"class_balance": (0.5, 2.0)},
    )
    expected = data.border_weight_map(part[0].labels, class_balance=(0.5, 2.0))
    np.testing.assert_allclose(weight[0], expected, atol=1e-5)


def test_weights_of_binary_masks_use_their_components():
    mask = np.zeros((32, 32), bool)
    mask[4:12, 4:12] = mask[4:12, 15:25] = True
    folder = data.open_images([mask.astype(np.uint8)], [mask])
    ((_, _, weight),) = batches(
        folder, batch_size=1, steps=1, augmentation=NONE, border_weights={"class_balance": False}
    )
    np.testing.assert_allclose(
        weight[0], data.border_weight_map(mask, class_balance=False), atol=1e-5
    )
    assert weight.max() > 5


def test_pieces_of_one_instance_have_no_border_between_them():
    """A patch shows the two arms of a concave cell, not what joins them."""
    labels = np.zeros((64, 64), np.uint16)
    labels[:, 20:28] = labels[:, 32:40] = labels[60:, 20:40] = 5
    folder = data.open_images([labels], [labels], mask_kind="instances")
    for _, mask, weight in batches(
        folder,
        patch_size=32,
        batch_size=4,
        steps=4,
        augmentation=NONE,
        border_weights={"class_balance": False},
    ):
        assert mask.any()
        np.testing.assert_array_equal(weight, 1)


def test_weights_of_classes():
    mask = np.zeros((32, 32), np.uint8)
    mask[4:12, 4:12], mask[4:12, 12:20], mask[20:28, 4:12] = 1, 2, 2
    folder = data.open_images([mask], [mask], classes=4)
    ((_, masks, weight),) = batches(
        folder, batch_size=1, steps=1, augmentation=NONE, border_weights={}
    )
    np.testing.assert_array_equal(masks[0], mask)
    cells = mask.astype(int)
    cells[20:28, 4:12] = 3
    frequencies = np.bincount(mask.ravel()) / mask.size
    expected = data.border_weight_map(cells, class_balance=False) - 1 + (1 / 3 / frequencies)[mask]
    np.testing.assert_allclose(weight[0], expected, atol=1e-4)


def test_the_data_is_shared_out_by_samples(cells):
    dataset = data.training_pipeline(cells, patch_size=16, batch_size=2, seed=0)
    policy = dataset.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA


def test_two_replicas_see_what_one_device_sees():
    """Under a mirrored strategy the global batches are the same."""
    script = textwrap.dedent("""
        import numpy as np, tensorflow as tf
        from keras_unet3p import data
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        pairs = [data.generate_cells(48, seed=seed) for seed in range(3)]
        folder = data.open_images([p[0] for p in pairs], [p[1] for p in pairs])
        dataset = data.training_pipeline(folder, patch_size=16, batch_size=4, steps=3, seed=1)
        plain = [image.numpy() for image, _ in dataset]
        shared = strategy.experimental_distribute_dataset(dataset)
        for expected, (image, _) in zip(plain, shared, strict=True):
            parts = [part.numpy() for part in strategy.experimental_local_results(image)]
            assert len(parts) == 2
            np.testing.assert_array_equal(np.concatenate(parts), expected)
        print("the same")
    """)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.stdout.strip().endswith("the same"), run.stderr[-2000:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 0}, "patch_size is 0; expected a whole number of at least 1"),
        ({"batch_size": 1.5}, "batch_size is 1.5; expected"),
        ({"steps": 0}, "steps is 0; expected"),
        ({"first_sample": -1}, "first_sample is -1; expected"),
        ({"seed": -1}, "seed is -1; expected"),
        ({"foreground_probability": 1.1}, r"foreground_probability is 1\.1; expected 0 to 1"),
        ({"border_weights": {"sigma": 0}}, "sigma = 0; expected"),
        ({"border_weights": {"class_balance": (1, 2, 3)}}, "class_balance is"),
        ({"border_weights": {"instances": True}}, "border_weights holds 'instances'; expected"),
    ],
)
def test_arguments_out_of_range(cells, options, message):
    with pytest.raises(ValueError, match=message):
        data.training_pipeline(cells, **{"patch_size": 8, "batch_size": 1, "seed": 0, **options})
