"""Measures on label images against brute force, scikit-image and py-ctcmetrics."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import metrics as skimage_metrics

from keras_unet3p.metrics import (
    hausdorff_distance,
    object_scores,
    pixel_error,
    rand_error,
    seg,
    variation_of_information,
)


def random_labels(rng, shape, objects):
    """Objects of random size that touch, with gaps in their numbers."""
    image = np.zeros(shape, np.int32)
    for label in rng.permutation(3 * objects)[:objects] + 1:
        row, column = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        image[row : row + rng.integers(1, 9), column : column + rng.integers(1, 9)] = label
    return image


labels_pairs = st.builds(
    lambda seed, a, b, size: (
        random_labels(rng := np.random.default_rng(seed), (size, size + 3), a),
        random_labels(rng, (size, size + 3), b),
    ),
    seed=st.integers(0, 10**6),
    a=st.integers(0, 6),
    b=st.integers(0, 6),
    size=st.integers(3, 16),
)
similar_pairs = labels_pairs.map(lambda pair: (pair[0], np.where(pair[1] > 6, pair[0], pair[1])))
several = settings(max_examples=60, deadline=None)


def objects_of(labels):
    return [labels == label for label in np.unique(labels) if label]


def jaccard(a, b):
    return (a & b).sum() / (a | b).sum()


def test_pixel_error():
    truth, prediction = np.array([[0, 1, 2], [2, 2, 0]]), np.array([[0, 1, 1], [2, 0, 0]])
    assert pixel_error(truth, prediction) == 2 / 6
    assert pixel_error(truth > 0, truth > 0) == 0.0


@several
@given(pair=similar_pairs)
def test_rand_error_against_scikit_image_and_pairs_of_pixels(pair):
    truth, prediction = pair
    result = rand_error(truth, prediction)
    a, b = truth[truth > 0], prediction[truth > 0]
    both = true = predicted = 0
    for i, j in itertools.combinations(range(len(a)), 2):
        true += a[i] == a[j]
        predicted += b[i] == b[j]
        both += a[i] == a[j] and b[i] == b[j]
    if true and predicted:
        assert result.error == pytest.approx(1 - 2 * both / (true + predicted))
        assert result.precision == pytest.approx(both / predicted)
        assert result.recall == pytest.approx(both / true)
        theirs = skimage_metrics.adapted_rand_error(truth, prediction)[0]
        assert result.error == pytest.approx(theirs)
    assert 0.0 <= result.error <= 1.0


def test_rand_error_names_merges_and_splits_rightly():
    two = np.repeat([[1, 1, 2, 2]], 4, axis=0)
    one = np.ones_like(two)
    assert rand_error(two, one).precision < rand_error(two, one).recall == 1.0
    assert rand_error(one, two).recall < rand_error(one, two).precision == 1.0
    assert rand_error(two, two) == (0.0, 1.0, 1.0)


def test_rand_error_without_objects():
    empty, full = np.zeros((4, 4), int), np.ones((4, 4), int)
    assert rand_error(empty, empty).error == 0.0
    assert rand_error(empty, full).error == 1.0
    assert rand_error(full, np.arange(16).reshape(4, 4)).error == 1.0


@several
@given(pair=similar_pairs, ignore_background=st.booleans())
def test_variation_of_information(pair, ignore_background):
    truth, prediction = pair
    result = variation_of_information(truth, prediction, ignore_background=ignore_background)
    counted = (truth > 0) | (not ignore_background)
    if not counted.any():
        assert result == (0.0, 0.0)
        return
    a, b = truth[counted], prediction[counted]
    split = merge = 0.0
    for label, other in {(int(x), int(y)) for x, y in zip(a, b, strict=True)}:
        joint = np.mean((a == label) & (b == other))
        split -= joint * math.log2(joint / np.mean(a == label))
        merge -= joint * math.log2(joint / np.mean(b == other))
    assert result.split == pytest.approx(split, abs=1e-9)
    assert result.merge == pytest.approx(merge, abs=1e-9)
    assert result.total == result.split + result.merge
    theirs = skimage_metrics.variation_of_information(
        truth, prediction, ignore_labels=(0,) if ignore_background else ()
    )
    np.testing.assert_allclose(result, theirs, atol=1e-9)


@several
@given(pair=similar_pairs)
def test_seg_by_brute_force(pair):
    truth, prediction = pair
    references, found = objects_of(truth), objects_of(prediction)
    scores = []
    for reference in references:
        matches = [other for other in found if 2 * (reference & other).sum() > reference.sum()]
        scores.append(max([jaccard(reference, other) for other in matches], default=0.0))
    expected = np.mean(scores) if scores else float(not found)
    assert seg(truth, prediction) == pytest.approx(expected)


def test_seg_equals_py_ctcmetrics(tmp_path):
    representations = pytest.importorskip(
        "ctc_metrics.utils.representations", reason="py-ctcmetrics is the reference"
    )
    from ctc_metrics.metrics import seg as their_seg

    tifffile = pytest.importorskip("tifffile")
    rng = np.random.default_rng(0)
    for index in range(8):
        truth = random_labels(rng, (60, 70), 14)
        prediction = np.where(rng.random(truth.shape) < 0.1, 0, np.roll(truth, index % 3, axis=0))
        prediction[prediction == truth.max()] = 0
        prediction[:, 40:44] += 100 * (prediction[:, 40:44] > 0)
        for name, labels in (("truth", truth), ("prediction", prediction)):
            tifffile.imwrite(tmp_path / f"{name}.tif", labels.astype(np.uint16))
        found = representations.match(str(tmp_path / "truth.tif"), str(tmp_path / "prediction.tif"))
        theirs = their_seg([found[0]], [found[4]])
        assert 0.1 < theirs <= 1.0
        assert seg(truth, prediction) == pytest.approx(theirs)


@several
@given(pair=similar_pairs, threshold=st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.75, 0.9, 1.0]))
def test_object_scores_by_brute_force(pair, threshold):
    truth, prediction = pair
    references, found = objects_of(truth), objects_of(prediction)
    fits = np.array(
        [[jaccard(a, b) >= threshold for b in found] for a in references], dtype=bool
    ).reshape(len(references), len(found))
    small, large = (fits, fits.shape[1]) if fits.shape[0] <= fits.shape[1] else (fits.T, len(fits))
    best = max(
        sum(small[i, j] for i, j in enumerate(chosen))
        for chosen in itertools.permutations(range(large), len(small))
    )
    scores = object_scores(truth, prediction, threshold)
    assert scores == (best, len(references) - best, len(found) - best)
    if references and found:
        assert scores.precision == best / len(found)
        assert scores.recall == best / len(references)
        assert scores.f1 == 2 * best / (len(found) + len(references))
        assert scores.average_precision == best / (len(found) + len(references) - best)


def test_object_scores_without_objects():
    empty, full = np.zeros((4, 4), int), np.ones((4, 4), int)
    nothing = object_scores(empty, empty)
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.average_precision) == (1,) * 4
    assert object_scores(empty, full).f1 == object_scores(full, empty).f1 == 0.0
    with pytest.raises(ValueError, match="threshold must be above 0"):
        object_scores(empty, full, 0.0)


@several
@given(
    pair=labels_pairs,
    percentile=st.sampled_from([50.0, 95.0, 100.0]),
    spacing=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]),
)
def test_hausdorff_distance_by_brute_force(pair, percentile, spacing):
    masks = [labels > 0 for labels in pair]
    result = hausdorff_distance(*masks, percentile=percentile, spacing=spacing)
    borders = []
    for mask in masks:
        framed = np.pad(mask, 1)
        inner = framed[2:, 1:-1] & framed[:-2, 1:-1] & framed[1:-1, 2:] & framed[1:-1, :-2]
        borders.append(np.argwhere(mask & ~inner) * spacing)
    a, b = borders
    if not len(a) and not len(b):
        assert result == 0.0
    elif not len(a) or not len(b):
        height, width = masks[0].shape
        assert result == pytest.approx(
            math.hypot((height - 1) * spacing[0], (width - 1) * spacing[1])
        )
    else:
        distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
        expected = max(
            np.percentile(distances.min(axis=1), percentile),
            np.percentile(distances.min(axis=0), percentile),
        )
        assert result == pytest.approx(expected)


def test_hausdorff_distance_agrees_with_scikit_image():
    a, b = np.zeros((2, 40, 50), bool)
    a[5:20, 8:30] = True
    b[9:27, 10:45] = True
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    expected = skimage_metrics.hausdorff_distance(*borders)
    assert hausdorff_distance(a, b, percentile=100) == pytest.approx(expected)
    with pytest.raises(ValueError, match="percentile must be"):
        hausdorff_distance(a, b, percentile=0)


def test_the_convention_of_the_hausdorff_distance():
    """The values themselves, so that no version of a library moves them."""
    truth, prediction = np.zeros((2, 30, 30), bool)
    truth[5:15, 5:15] = True  # a border of 36 pixels
    prediction[5:15, 5:15] = True
    prediction[5:15, 15:17] = True  # two columns too wide
    prediction[25, 25] = True  # and a false pixel, far away
    far = math.hypot(11, 11)
    assert hausdorff_distance(truth, prediction, percentile=100) == pytest.approx(far)
    # Of the 41 border pixels of the prediction the 38th to 40th smallest are 2 pixels away.
    assert hausdorff_distance(truth, prediction) == pytest.approx(2.0)
    # The 40th and the 41st, with 40 * 0.98 = 39.2 between them: linearly.
    assert hausdorff_distance(truth, prediction, percentile=98) == pytest.approx(
        2.0 + 0.2 * (far - 2.0)
    )
    # The larger of the two directions, not the percentile of both together.
    assert hausdorff_distance(prediction, truth) == hausdorff_distance(truth, prediction)
    everywhere = np.ones((30, 30), bool)
    # The image's edge is a border: from (0, 0) the nearest is (5, 5).
    assert hausdorff_distance(truth, everywhere, percentile=100) == pytest.approx(
        math.hypot(15, 15)
    )


@pytest.mark.parametrize(
    "measure", [pixel_error, rand_error, variation_of_information, seg, object_scores]
)
def test_refuses_what_are_not_label_images(measure):
    labels = np.ones((4, 5), int)
    with pytest.raises(ValueError, match=r"one shape; received \(4, 5\) and \(4, 4\)"):
        measure(labels, labels[:, 1:])
    with pytest.raises(ValueError, match=r"truth must be \(height, width\).*\(4, 5, 1\)"):
        measure(labels[..., None], labels)
    with pytest.raises(ValueError, match=r"prediction must hold labels.*instances_from_prob"):
        measure(labels, labels * 0.5)
    with pytest.raises(ValueError, match="labels from 0; received -1"):
        measure(labels, labels - 2)
    with pytest.raises(ValueError, match="at least one pixel"):
        measure(labels[:0], labels[:0])
