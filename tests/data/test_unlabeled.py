"""Sparse annotation: pixels of one mask value are unlabelled, and count nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p import data
from keras_unet3p.data.unlabeled import target_mask

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
SHAPE = IMAGE.shape
NO_CHANGE = data.Augmentation.none()


def bands(*values: int, dtype: type | None = None) -> np.ndarray:
    """These values side by side, in vertical bands; of 8 bits where that is enough."""
    dtype = dtype or (np.uint8 if max(values) < 256 and min(values) >= 0 else np.uint16)
    return np.array(values, dtype)[np.arange(64) * len(values) // 64][None].repeat(48, 0)


def opened(*masks: np.ndarray, **options) -> data.LabeledImages:
    return data.open_images([IMAGE] * len(masks), list(masks), **options)


def sparse_cells(value: int = 255, share: float = 0.1, side: int = 8) -> list:
    """Generated cells of which blocks are annotated: (image, instance ids with `value`)."""
    pairs = []
    for seed in range(3):
        image, labels = data.generate_cells((96, 96), seed=seed)
        blocks = np.random.default_rng(seed).random((96 // side, 96 // side)) < share
        known = np.kron(blocks, np.ones((side, side), bool))
        pairs.append((image, np.where(known, labels, value).astype(np.uint16)))
    return pairs


@pytest.mark.parametrize(
    ("values", "options", "kind", "labels"),
    [
        ((0, 1, 255), {}, "binary", {0, 1, -1}),
        ((0, 255, 128), {"ignore": 128}, "binary", {0, 1, -1}),
        ((0, 1, 2, 255), {}, "classes", {0, 1, 2, -1}),
        ((0, 100, 255), {"classes": [0, 100]}, "classes", {0, 1, -1}),
        ((0, 100, 1, 200), {"classes": [0, 100, 200], "ignore": 1}, "classes", {0, 1, 2, -1}),
        ((0, 1, 2), {"classes": [1, 2], "mask_kind": "binary", "ignore": 0}, "binary", {0, 1, -1}),
        ((0, 5, 6, 255), {"mask_kind": "instances"}, "instances", {0, 5, 6, -1}),
        ((0, 40000, 255), {"mask_kind": "instances"}, "instances", {0, 40000, -1}),
    ],
)
def test_the_value_is_no_label(values, options, kind, labels):
    mask = bands(*values)
    images = opened(mask, **{"ignore": 255, **options})
    assert images.mask_kind == kind
    found = images[0].labels
    assert set(np.unique(found).tolist()) == labels
    np.testing.assert_array_equal(found == -1, mask == images.ignore)
    assert images.class_frequencies.sum() == pytest.approx(1.0)
    assert images.labeled_share == pytest.approx(np.mean(mask != images.ignore))
    assert images[:1].ignore == images.ignore


def test_instances_are_guessed_as_if_the_value_were_not_there():
    pairs = sparse_cells(share=0.8, side=48)
    images = data.open_images(*map(list, zip(*pairs, strict=True)), ignore=255)
    assert images.mask_kind == "instances"


def test_class_frequencies_are_those_of_the_labelled_pixels():
    images = opened(bands(0, 0, 0, 1, 255, 255, 255, 255), ignore=255)
    np.testing.assert_allclose(images.class_frequencies, [0.75, 0.25])
    np.testing.assert_allclose(data.class_balance(images), [2 / 3, 2])


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ((0, 255), {}, r"only 0 and 255, so that 255 is the foreground.*--ignore 255"),
        ((255, 255), {}, "every pixel is 255, unlabelled"),
        ((0, 1, 2, 3), {"ignore": 2}, "ignore is 2, which lies among the class ids 0 to 3"),
        ((0, 1, 2), {"classes": 3, "ignore": 2}, "ignore is 2, a class id of 3 classes"),
        ((0, 128, 255), {"classes": [0, 128, 255]}, r"ignore is 255, which classes = \[0, 128, 25"),
        ((0, 1), {"ignore": 0}, "ignore is 0, the background.*classes="),
        ((0, 1), {"ignore": -1}, "ignore is -1; expected the mask value"),
        ((0, 1), {"ignore": True}, "ignore is True; expected the mask value"),
        ((0, 254, 255, 256), {"mask_kind": "instances"}, "254 and 256 too"),
    ],
)
def test_a_value_that_is_a_label_is_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        opened(
            bands(*values, dtype=np.uint8 if max(values) < 256 else np.uint16),
            **{"ignore": 255, **options},
        )


def test_an_unexplained_255_suggests_the_option():
    for masks in ([bands(0, 1, 255, 0, 1, 255)], [bands(0, 1, 255)] * 3 + [bands(0, 255)]):
        with pytest.raises(ValueError, match="ignore=255, --ignore 255"):
            opened(*masks)
    with pytest.raises(ValueError, match="127") as error:
        opened(bands(0, 255), bands(0, 255), bands(0, 127, 255))
    assert "--ignore" not in str(error.value), "255 is the foreground there"


def test_an_instance_255_far_from_the_others_is_told():
    with pytest.warns(UserWarning, match="255 counts as an instance.*end at 2.*--ignore 255"):
        opened(bands(0, 1, 2, 255), mask_kind="instances")


def test_images_without_a_labelled_pixel_are_left_out():
    with pytest.warns(UserWarning, match="no labelled pixel"):
        images = opened(bands(0, 1, 255), bands(255, 255), ignore=255)
    assert len(images) == 1


def test_unlabelled_pixels_are_no_neighbours():
    labels = bands(-1, 1, 2, 0, dtype=np.int16)
    mask = target_mask(labels, "instances", 1)
    assert set(np.unique(mask[:, :16])) == {-1}
    assert mask[:, 16:31].all(), "no gap towards the unlabelled pixels"
    assert not mask[:, 31:33].any(), "but between instances"


def test_border_weights_are_zero_there_and_take_no_notice():
    labels = bands(0, 1, 0, 2, 0, 0, 9, 9)
    weights = data.border_weight_map(labels, ignore_class=9)
    assert (weights[:, 48:] == 0).all()
    np.testing.assert_allclose(
        weights[:, :48], data.border_weight_map(labels[:, :48], instances=True), rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["instances", "binary", "classes"])
@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_every_patch_shows_a_labelled_pixel(kind, probability):
    pairs = sparse_cells(share=0.04)
    masks = [np.where((m != 255) & (kind != "instances"), np.minimum(m, 1), m) for _, m in pairs]
    images = data.open_images([i for i, _ in pairs], masks, ignore=255, mask_kind=kind)
    dataset = data.training_pipeline(
        images,
        patch_size=16,
        batch_size=4,
        steps=12,
        border_weights={},
        foreground_probability=probability,
        separation=1,
    )
    shares = []
    for _, mask, weight in dataset.as_numpy_iterator():
        assert set(np.unique(mask)) <= {-1, 0, 1}
        np.testing.assert_array_equal(weight == 0, mask == -1)
        assert (mask >= 0).any((1, 2)).all()
        shares += [np.mean(m[m >= 0] > 0) for m in mask]
    if probability == 0.5:
        assert np.mean(np.array(shares) > 0) > 0.45


def test_a_mirrored_and_a_moved_patch_keep_the_value():
    mask = bands(0, 3, 255, 2)
    images = opened(mask, ignore=255, mask_kind="classes", classes=4)
    labels = images.stored(0)[1]
    rng = np.random.default_rng(0)
    image = IMAGE[..., None].astype(np.float32)
    for kind in (np.int16, np.int32):
        for augmentation in (NO_CHANGE, data.Augmentation()):
            found = augmentation.crop(image, labels.astype(kind), -20, -20, 96, 96, rng)[1]
            assert set(np.unique(found)) == {-1, 0, 2, 3}
            assert found.dtype == kind


def test_validation_scores_each_labelled_pixel_once():
    pairs = sparse_cells(share=0.05)
    images = data.open_images(
        *map(list, zip(*pairs, strict=True)), ignore=255, mask_kind="instances"
    )
    dataset = data.validation_pipeline(images, patch_size=40, batch_size=2, scored_size=24)
    scored = 0
    for _, mask, weight in dataset.as_numpy_iterator():
        assert not weight[mask < 0].any()
        assert weight.any((1, 2)).all(), "a tile without a labelled pixel"
        scored += int(weight.sum())
    assert scored == sum(np.count_nonzero(mask != 255) for _, mask in pairs)


def test_the_validation_loss_is_the_mean_over_the_labelled_pixels():
    from keras_unet3p import losses

    pairs = sparse_cells(share=0.3)
    images = data.open_images(
        *map(list, zip(*pairs, strict=True)), ignore=255, mask_kind="instances"
    )
    loss = losses.WeightedCrossEntropy(ignore_class=data.IGNORED)
    values = []
    dataset = data.validation_pipeline(images, patch_size=40, batch_size=1, unit_mean=True)
    for image, mask, weight in dataset:
        values.append(float(loss(mask, image, weight)))
    expected, count = 0.0, 0
    for index in range(len(images)):
        image, labels = images[index].image, images[index].labels
        known = labels >= 0
        probability = np.where(labels > 0, image[..., 0], 1 - image[..., 0])[known]
        expected -= np.log(np.clip(probability, 1e-7, 1)).sum()
        count += np.count_nonzero(known)
    assert np.mean(values) == pytest.approx(expected / count, rel=1e-3)
