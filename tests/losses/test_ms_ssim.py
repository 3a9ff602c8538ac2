"""MS-SSIM against TensorFlow's and a NumPy version in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import correlate1d

from keras_unet3p.losses import MSSSIM
from keras_unet3p.losses.ms_ssim import number_of_scales

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
        value = (2 * covariance + 0.03**2) / (variances + 0.03**2)
        if scale == scales - 1:
            value = value * (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        terms.append(value.mean())
    weights = WEIGHTS[:scales] / (1.0 if scales == 5 else WEIGHTS[:scales].sum())
    return np.prod(np.maximum(terms, 0.0) ** weights)


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


def test_equals_tensorflow_where_its_gradient_is_not_finite():
    mask, _ = pair(176, 176)
    for p in (1 - mask, np.random.default_rng(0).random(mask.shape).astype(np.float32)):
        p = tf.constant(p)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(p)
            theirs = 1 - tf.image.ssim_multiscale(mask, p, max_val=1.0)
            ours = MSSSIM(reduction="none")(mask, p)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert np.isfinite(tape.gradient(ours, p)).all()
    # The premise, for the inverted mask at least: should TensorFlow mend it, this test may go.
    p = tf.constant(1 - mask)
    with tf.GradientTape() as tape:
        tape.watch(p)
        theirs = tf.image.ssim_multiscale(mask, p, max_val=1.0)
    assert not np.isfinite(tape.gradient(theirs, p)).all()


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
    for p in (0.99 * mask, mask, np.full_like(mask, 0.999)):
        expected = 1 - ms_ssim_in_numpy(mask[0, ..., 0], p[0, ..., 0], 5)
        assert float(MSSSIM()(mask, p)) == pytest.approx(expected, abs=1e-5)


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
