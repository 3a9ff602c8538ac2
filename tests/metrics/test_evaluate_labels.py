"""All measures of an image and of a set."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from keras_unet3p import metrics
from keras_unet3p.metrics import evaluate_labels, summarize_evaluations


def cells(seed, displaced):
    rng = np.random.default_rng(seed)
    labels = np.zeros((48, 50), np.int32)
    for label in range(1, 6 + seed):
        row, column = rng.integers(0, 40, 2)
        labels[row : row + 9, column : column + 9] = label
    return labels, np.roll(labels, displaced, axis=0)


IMAGES = [cells(seed, seed) for seed in range(3)]


def test_instances():
    truth, prediction = IMAGES[2]
    results = evaluate_labels(
        truth, prediction, mask_kind="instances", object_thresholds=(0.5, 0.9)
    )
    assert all(type(value) is float for value in results.values())
    json.dumps(results, allow_nan=False)
    dice = 2 * ((truth > 0) & (prediction > 0)).sum() / ((truth > 0).sum() + (prediction > 0).sum())
    assert results["dice"] == pytest.approx(dice)
    assert results["seg"] == metrics.seg(truth, prediction)
    assert results["rand_error"] == metrics.rand_error(truth, prediction).error
    assert results["hausdorff_95"] == metrics.hausdorff_distance(truth, prediction)
    assert results["f1@0.5"] == metrics.object_scores(truth, prediction).f1
    assert results["recall@0.9"] == metrics.object_scores(truth, prediction, 0.9).recall
    assert "warping_error" not in results


def test_binary_masks_are_measured_by_their_regions():
    truth, prediction = (labels > 0 for labels in IMAGES[1])
    results = evaluate_labels(truth, prediction)
    regions = ndimage.label(truth)[0], ndimage.label(prediction)[0]
    assert results["seg"] == metrics.seg(*regions)
    assert results["rand_error"] == metrics.rand_error(*regions).error
    information = metrics.variation_of_information(*regions)
    assert (results["voi_split"], results["voi_merge"]) == information
    assert results["warping_error"] == metrics.warping_error(truth, prediction).error
    assert results["pixel_error"] == np.mean(truth != prediction)


def test_classes():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 3, (2, 20, 30))
    results = evaluate_labels(truth, prediction, mask_kind="classes", num_classes=4)
    for k in (1, 2):
        a, b = truth == k, prediction == k
        assert results[f"dice_{k}"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert results[f"iou_{k}"] == pytest.approx((a & b).sum() / (a | b).sum())
        assert results[f"precision_{k}"] == pytest.approx((a & b).sum() / b.sum())
        assert results[f"recall_{k}"] == pytest.approx((a & b).sum() / a.sum())
    assert results["dice_3"] == 1.0  # In neither of the two.
    assert results["dice"] == pytest.approx((results["dice_1"] + results["dice_2"] + 1) / 3)
    assert results["pixel_error"] == np.mean(truth != prediction)


@pytest.mark.parametrize("mask_kind", ["binary", "instances"])
def test_summary_takes_counts_together(mask_kind):
    evaluations = [evaluate_labels(*pair, mask_kind=mask_kind) for pair in IMAGES]
    summary = summarize_evaluations(evaluations)
    assert set(summary) == set(evaluations[0])
    # Side by side, apart from each other, the images are one image.
    shift = 0
    joined = [[], []]
    for pair in IMAGES:
        for side, labels in zip(joined, pair, strict=True):
            side.append(np.pad(np.where(labels > 0, labels + shift, 0), 1))
        shift += 100
    whole = evaluate_labels(*(np.concatenate(side) for side in joined), mask_kind=mask_kind)
    for name in ("dice", "iou", "precision", "recall", "seg", "f1@0.5", "average_precision@0.75"):
        assert summary[name] == pytest.approx(whole[name]), name
    assert summary["count_objects_true"] == whole["count_objects_true"]
    assert summary["hausdorff_95"] == np.mean([each["hausdorff_95"] for each in evaluations])


def test_summary_of_classes_and_sizes():
    rng = np.random.default_rng(1)
    pairs = [rng.integers(0, 3, (2, 10, width)) for width in (5, 30)]
    evaluations = [evaluate_labels(*pair, mask_kind="classes", num_classes=3) for pair in pairs]
    summary = summarize_evaluations(evaluations)
    whole = evaluate_labels(
        *(np.concatenate([pair[i] for pair in pairs], axis=1) for i in (0, 1)),
        mask_kind="classes",
        num_classes=3,
    )
    for name in ("dice", "dice_1", "iou_2", "precision", "recall_1", "pixel_error"):
        assert summary[name] == pytest.approx(whole[name]), name


def test_images_without_objects_do_not_dilute_seg():
    empty = np.zeros((48, 50), int)
    evaluations = [
        evaluate_labels(*IMAGES[1], mask_kind="instances"),
        evaluate_labels(empty, empty, mask_kind="instances"),
    ]
    assert summarize_evaluations(evaluations)["seg"] == pytest.approx(evaluations[0]["seg"])
    json.dumps(evaluations, allow_nan=False)


def test_refuses_what_cannot_be_right():
    labels = np.array([[0, 3]])
    with pytest.raises(ValueError, match="mask_kind must be one of"):
        evaluate_labels(labels, labels, mask_kind="cells")
    with pytest.raises(ValueError, match="need num_classes of 2 or more; received None"):
        evaluate_labels(labels, labels, mask_kind="classes")
    with pytest.raises(ValueError, match="below num_classes=3; received 3"):
        evaluate_labels(labels, labels, mask_kind="classes", num_classes=3)
    with pytest.raises(ValueError, match="at least one image"):
        summarize_evaluations([])
    binary = evaluate_labels(labels, labels)
    with pytest.raises(ValueError, match=r"number 1 differs in .*warping_error"):
        summarize_evaluations([binary, evaluate_labels(labels, labels, mask_kind="instances")])


@pytest.mark.parametrize("mask_kind", ["binary", "classes", "instances"])
def test_unlabelled_pixels_count_in_no_measure(mask_kind):
    rng = np.random.default_rng(3)
    truth = np.kron(rng.integers(0, 3, (8, 8)), np.ones((8, 8), int))
    prediction = np.roll(truth, 2, axis=1)
    options: dict = {"mask_kind": mask_kind, "num_classes": 3}
    left = metrics.evaluate_labels(truth[:, :40], prediction[:, :40], **options)
    sparse = truth.copy()
    sparse[:, 40:] = -1
    found = metrics.evaluate_labels(sparse, prediction, ignore_class=-1, **options)
    inside = {"hausdorff_95", "warping_error"}  # an image's edge is no border of an object
    names = {name for name in left if not name.startswith(tuple(inside))}
    assert {name: found[name] for name in names} == pytest.approx({n: left[n] for n in names})
    assert found["count_pixels"] == 64 * 40


def test_what_is_predicted_on_unlabelled_pixels_does_not_matter():
    rng = np.random.default_rng(4)
    truth = np.kron(rng.integers(0, 2, (8, 8)), np.ones((8, 8), int))
    truth[16:48, 16:48] = 255
    prediction = rng.integers(0, 2, truth.shape)
    other = np.where(truth == 255, 1 - prediction, prediction)
    one, two = (evaluate_labels(truth, each, ignore_class=255) for each in (prediction, other))
    assert one == two
    perfect = metrics.evaluate_labels(truth, np.where(truth == 255, 1, truth), ignore_class=255)
    assert perfect["dice"] == perfect["seg"] == 1.0
    assert perfect["warping_error"] == perfect["rand_error"] == perfect["hausdorff_95"] == 0.0


def test_a_truth_without_labelled_pixels_is_refused():
    with pytest.raises(ValueError, match="ignore_class=255 only"):
        metrics.evaluate_labels(np.full((4, 4), 255), np.zeros((4, 4), int), ignore_class=255)
