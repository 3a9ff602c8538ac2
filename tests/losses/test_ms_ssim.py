"""MS-SSIM against TensorFlow's and a NumPy version in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d

from keras_unet3p.losses import MSSSIM, HybridLoss
from keras_unet3p.losses.ms_ssim import FLOOR, multi_scale_dissimilarity, number_of_scales

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def ms_ssim_in_numpy(x, y, scales):
    """One (H, W) pair in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    window = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(values):
        return correlate1d(correlate1d(values, window, 0), window, 1)[5:-5, 5:-5]

    def halved(values):
        values = np.pad(values, [(0, side % 2) for side in values.shape], mode="symmetric")
        rows, columns = values.shape
        return values.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))

    terms = []
    for scale in range(scales):
        if scale:
            x, y = halved(x), halved(y)
        mean_x, mean_y = mean(x), mean(y)
        covariance = mean(x * y) - mean_x * mean_y
        variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
        structure = (2 * covariance + 0.03**2) / (variances + 0.03**2)
        luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        last = scale == scales - 1
        terms.append((structure * luminance).mean() if last else structure.mean())
        # Below, our value is another.
        assert terms[-1] >= FLOOR * (luminance.mean() if last else 1)
    weights = WEIGHTS[:scales] / (1.0 if scales == 5 else WEIGHTS[:scales].sum())
    return np.prod(np.array(terms) ** weights)


def pair(height, width, channels=1, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    field = tf.nn.avg_pool2d(rng.normal(size=(2, height, width, channels)), 9, 1, "SAME").numpy()
    mask = (field > 0).astype(np.float32)
    return mask, np.clip(0.2 + 0.6 * mask + noise * rng.normal(size=mask.shape), 0, 1)


@pytest.mark.parametrize(("height", "width"), [(161, 161), (200, 177), (256, 320)])
def test_equals_tensorflow_where_that_is_defined(height, width):
    for noise in (0.05, 0.2, 1.0):
        mask, p = pair(height, width, channels=3, noise=noise)
        expected = 1 - tf.image.ssim_multiscale(mask, tf.cast(p, tf.float32), max_val=1.0)
        ours = MSSSIM(multi_label=True, reduction="none")(mask, p)
        np.testing.assert_allclose(ours, expected, atol=1e-5)


MASKS = {
    "empty": lambda field: 0 * field,
    "full": lambda field: 0 * field + 1,
    "blobs": lambda field: (field > 0) * 1.0,
    "one blob": lambda field: (field > field.max() - 0.1) * 1.0,
}
PREDICTIONS = {
    "constant": lambda mask, rng: 0 * mask + rng.random(),
    "zero": lambda mask, rng: 0 * mask,
    "noise": lambda mask, rng: rng.random(mask.shape),
    "nearly constant": lambda mask, rng: rng.random() * 0.9 + 0.1 * rng.random(mask.shape),
    "right": lambda mask, rng: 0.1 + 0.8 * mask,
    "inverted": lambda mask, rng: 0.9 - 0.8 * mask,
    "wholly inverted": lambda mask, rng: 1.0 - mask,
    "moved": lambda mask, rng: np.roll(mask, rng.integers(1, mask.shape[1]), axis=1),
}
case = given(
    st.integers(16, 192),
    st.sampled_from(list(MASKS)),
    st.sampled_from(list(PREDICTIONS)),
    st.data(),
)


def mask_and_prediction(side, mask, prediction, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    field = tf.nn.avg_pool2d(rng.normal(size=(1, side, side, 1)), 9, 1, "SAME").numpy()
    mask = MASKS[mask](field)
    return mask, PREDICTIONS[prediction](mask, rng)


def values_and_gradient(mask, p, dtype=tf.float64):
    """Loss of each of a batch of predictions, and the gradient of the first."""
    p = tf.constant(p, dtype)
    with tf.GradientTape() as tape:
        tape.watch(p)
        values = multi_scale_dissimilarity(tf.repeat(tf.constant(mask, dtype), len(p), axis=0), p)
    return values.numpy()[:, 0], tape.gradient(values, p).numpy()[:1]


@settings(max_examples=25, deadline=None)
@case
def test_gradient_is_that_of_the_value(side, mask, prediction, data):
    mask, p = mask_and_prediction(side, mask, prediction, data)
    _, gradient = values_and_gradient(mask, p)
    directions = np.concatenate([np.sign(gradient), np.ones_like(p), mask - p])
    values, _ = values_and_gradient(
        mask, np.concatenate([p + 1e-7 * directions, p - 1e-7 * directions])
    )
    differences = (values[:3] - values[3:]) / 2e-7
    slopes = (gradient * directions).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(differences, slopes, rtol=1e-3, atol=1e-5)


@settings(max_examples=25, deadline=None)
@case
def test_value_and_gradient_are_bounded_and_float32_suffices(side, mask, prediction, data):
    mask, p = mask_and_prediction(side, mask, prediction, data)
    value, gradient = values_and_gradient(mask, p)
    assert 0.0 <= value < 1.52
    assert np.abs(gradient).sum() < 1000.0
    in_float32, gradient_in_float32 = values_and_gradient(mask, p, tf.float32)
    np.testing.assert_allclose(in_float32, value, atol=1e-5)
    np.testing.assert_allclose(
        gradient_in_float32, gradient, atol=1e-3 * max(np.abs(gradient).max(), 1e-4)
    )


def test_equals_tensorflow_down_to_the_floor_and_goes_on_smoothly_below():
    """From the right prediction to the inverted one, along a straight line."""
    mask, _ = pair(176, 176)
    mask = mask[:1]
    ours, theirs = [], []
    for share in np.linspace(0, 1, 21):
        p = tf.constant((1 - share) * mask + share * (1 - mask), tf.float32)
        ours.append(float(MSSSIM()(mask, p)))
        theirs.append(1 - float(tf.image.ssim_multiscale(mask, p, max_val=1.0)[0]))
    ours, theirs = np.array(ours), np.array(theirs)
    assert (np.diff(ours) > 0).all()
    defined = theirs < 0.95
    assert defined.sum() > 7
    np.testing.assert_allclose(ours[defined], theirs[defined], atol=2e-5)
    # The premise: structures are opposed at the end.
    assert theirs[-1] == 1.0
    assert 1.0 < ours[-1] < 1.51


def test_leads_away_from_an_inverted_prediction():
    mask = tf.constant(pair(32, 32)[0])
    logits = tf.Variable(2.0 - 4.0 * mask)
    loss = MSSSIM(from_logits=True)

    optimizer = keras.optimizers.Adam(0.1)
    values = []
    for _ in range(60):
        with tf.GradientTape() as tape:
            value = loss(mask, logits)
        optimizer.apply_gradients([(tape.gradient(value, logits), logits)])
        values.append(float(value))
    assert values[0] > 1.0
    assert values[-1] < 0.3


def test_an_empty_mask_among_others_does_not_take_over_the_batch():
    """The first steps of a training: everything near one grey value."""
    rng = np.random.default_rng(0)
    mask = np.zeros((2, 64, 64, 1), np.float32)
    mask[1, 20:44, 20:44] = 1
    sums = []
    for level in (0.30, 0.33):
        p = level + 0.02 * rng.random(mask.shape)
        logits = tf.constant(np.log(p / (1 - p)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            values = HybridLoss(from_logits=True, reduction="none")(mask, logits)
        gradient = tape.gradient(values, logits).numpy()
        sums.append(np.abs(gradient).sum(axis=(1, 2, 3)))
        assert sums[-1][0] < sums[-1][1]
        step = gradient / np.abs(gradient).max()
        later = HybridLoss(from_logits=True, reduction="none")(mask, logits - 0.02 * step)
        assert (later.numpy() < values.numpy()).all()
    np.testing.assert_allclose(sums[0], sums[1], rtol=0.25)  # nothing jumps between the two


@pytest.mark.parametrize(
    ("height", "width", "scales"),
    [(16, 16, 1), (20, 90, 1), (21, 33, 2), (32, 32, 2), (41, 64, 3), (128, 81, 4), (160, 170, 4)],
)
def test_small_images_take_fewer_scales(height, width, scales):
    assert number_of_scales(min(height, width)) == scales
    mask, p = pair(height, width)
    expected = [1 - ms_ssim_in_numpy(mask[i, ..., 0], p[i, ..., 0], scales) for i in range(2)]
    np.testing.assert_allclose(MSSSIM(reduction="none")(mask, p), expected, atol=2e-6)
    dynamic = tf.function(
        MSSSIM(reduction="none").__call__,
        input_signature=[tf.TensorSpec((None, None, None, 1))] * 2,
    )
    np.testing.assert_allclose(dynamic(mask, p), expected, atol=2e-6)


def test_uniform_regions_do_not_lose_precision():
    mask = np.zeros((1, 180, 180, 1), np.float32)
    mask[:, 20:150, 30:100] = 1
    full = np.ones_like(mask)
    for truth, p in (
        (mask, 0.99 * mask),
        (mask, mask),
        (mask, 0.1 + 0.8 * mask),
        (full, 0.999 * full),
        (full, 0.3 * full),
    ):
        expected = 1 - ms_ssim_in_numpy(truth[0, ..., 0], p[0, ..., 0], 5)
        assert float(MSSSIM()(truth, p)) == pytest.approx(expected, abs=1e-6)


def test_unknown_sizes_do_not_retrace():
    traces = []

    def loss(mask, p):
        traces.append(1)
        return MSSSIM()(mask, p)

    graph = tf.function(loss, input_signature=[tf.TensorSpec((None, None, None, 1))] * 2)
    for side in (1, 7, 16, 40, 100, 170):
        mask, p = pair(side, side + 3)
        np.testing.assert_allclose(graph(mask, p), MSSSIM()(mask, p), atol=2e-6)
    assert len(traces) == 1


def test_gradient_with_unknown_sizes():
    mask, p = pair(30, 45)
    p = tf.constant(p, tf.float32)

    def slope(mask, p):
        with tf.GradientTape() as tape:
            tape.watch(p)
            value = MSSSIM()(mask, p)
        return tape.gradient(value, p)

    dynamic = tf.function(slope, input_signature=[tf.TensorSpec((None, None, None, 1))] * 2)
    np.testing.assert_allclose(dynamic(mask, p), slope(mask, p), atol=1e-6)


def test_pixel_weights_do_not_reach_it():
    mask, p = pair(32, 32)
    weights = np.random.default_rng(0).uniform(0, 9, (2, 32, 32))
    assert MSSSIM()(mask, p, weights) == MSSSIM()(mask, p)
