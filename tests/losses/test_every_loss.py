"""What holds for each loss alike."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p import losses, metrics

LOSSES = {
    "cross_entropy": losses.WeightedCrossEntropy,
    "focal": losses.Focal,
    "ms_ssim": losses.MSSSIM,
    "iou": losses.IoU,
    "dice": losses.Dice,
    "tversky": losses.Tversky,
    "cl_dice": losses.ClDice,
    "hybrid": losses.HybridLoss,
}
IN_UNIT_RANGE = ("iou", "dice", "tversky", "cl_dice")

every_loss = pytest.mark.parametrize("name", LOSSES)


def blobs(rng, shape, classes=2):
    """Class ids (B, H, W): smooth random fields, cut at their quantiles."""
    noise = tf.constant(rng.normal(size=(*shape, 1)), tf.float32)
    field = tf.nn.avg_pool2d(noise, 5, 1, "SAME").numpy()[..., 0]
    cuts = np.quantile(field, np.linspace(0, 1, classes + 1)[1:-1])
    return np.digitize(field, cuts).astype(np.int32)


def binary_case(seed=0, shape=(2, 24, 20)):
    rng = np.random.default_rng(seed)
    mask = blobs(rng, shape)
    probabilities = 1 / (1 + np.exp(1 - 2 * mask - rng.normal(size=shape)))
    return mask, probabilities[..., None].astype(np.float32)


def softmax_case(seed=0, shape=(2, 24, 20), classes=3):
    rng = np.random.default_rng(seed)
    mask = blobs(rng, shape, classes)
    logits = (np.eye(classes)[mask] + rng.normal(size=(*shape, classes))).astype(np.float32)
    return mask, logits


def gradient(loss, mask, prediction):
    prediction = tf.constant(prediction)
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        value = loss(mask, prediction)
    return value.numpy(), tape.gradient(value, prediction).numpy()


@every_loss
def test_perfect_prediction_costs_nothing(name):
    loss = LOSSES[name]()
    for mask in (
        np.zeros((1, 32, 32)),
        np.ones((1, 32, 32)),
        np.pad(np.ones((1, 1, 1)), ((0, 0), (15, 16), (15, 16))),
        blobs(np.random.default_rng(0), (1, 32, 32)),
    ):
        value, slope = gradient(loss, mask, mask[..., None].astype(np.float32))
        assert 0.0 <= value < 1e-5
        assert np.isfinite(slope).all()


@every_loss
def test_inverted_prediction_costs_most_and_can_recover(name):
    loss = LOSSES[name]()
    for mask in (np.ones((1, 32, 32)), blobs(np.random.default_rng(0), (1, 32, 32))):
        inverted = (1 - mask)[..., None].astype(np.float32)
        worst, slope = gradient(loss, mask, inverted)
        assert np.isfinite(worst)
        assert np.isfinite(slope).all()
        _, slope = gradient(loss, mask, 0.98 * inverted + 0.01)
        assert (slope * (mask[..., None] - inverted)).sum() < 0.0
        assert loss(mask, 0.5 * np.ones_like(inverted)) < worst
    if name in IN_UNIT_RANGE:
        assert worst == pytest.approx(1.0, abs=0.01)


@every_loss
def test_gradient_equals_finite_differences(name):
    loss = LOSSES[name]()
    mask, probabilities = binary_case()
    _, slope = gradient(loss, mask, probabilities)
    # Along the signs of the gradient the change is large against the rounding of float32.
    rng = np.random.default_rng(1)
    for _ in range(4):
        chosen = rng.random(slope.shape) < 0.5
        direction = np.where(chosen, np.sign(slope), 0.0).astype(np.float32)
        step = 3e-4
        change = loss(mask, probabilities + step * direction) - loss(
            mask, probabilities - step * direction
        )
        assert float(change) / (2 * step) == pytest.approx((slope * direction).sum(), rel=0.01)


@every_loss
@pytest.mark.parametrize("multi_label", [False, True])
def test_gradient_from_logits_equals_finite_differences(name, multi_label):
    loss = LOSSES[name](from_logits=True, multi_label=multi_label)
    mask, logits = softmax_case()
    maps = np.eye(3)[mask]
    _, slope = gradient(loss, maps, logits)
    direction, step = np.sign(slope), 2e-3
    change = loss(maps, logits + step * direction) - loss(maps, logits - step * direction)
    assert float(change) / (2 * step) == pytest.approx(np.abs(slope).sum(), rel=0.02)


@every_loss
def test_logits_and_probabilities_agree(name):
    make = LOSSES[name]
    mask, logits = softmax_case()
    softmax = tf.nn.softmax(logits)
    np.testing.assert_allclose(
        make(from_logits=True)(mask, logits), make()(mask, softmax), rtol=1e-5
    )
    np.testing.assert_allclose(
        make(from_logits=True)(mask > 1, logits[..., :1]),
        make()(mask > 1, tf.sigmoid(logits[..., :1])),
        rtol=1e-5,
    )


@every_loss
def test_masks_of_any_shape_and_dtype_mean_the_same(name):
    loss = LOSSES[name]()
    mask, probabilities = binary_case()
    expected = loss(mask, probabilities)
    for dtype in (bool, np.uint8, np.int64, np.float16, np.float32, np.float64):
        assert loss(mask.astype(dtype), probabilities) == expected
    assert loss(mask[..., None], probabilities) == expected

    mask, logits = softmax_case()
    softmax = tf.nn.softmax(logits)
    expected = loss(mask, softmax)
    assert loss(mask[..., None].astype(np.float32), softmax) == expected
    assert loss(np.eye(3)[mask], softmax) == expected


@every_loss
def test_masks_without_static_shape_and_empty_batches(name):
    """What generators without a signature give, and replicas that get no image."""
    loss = LOSSES[name]()
    mask, probabilities = binary_case()
    graph = tf.function(
        loss.__call__,
        input_signature=[tf.TensorSpec(None, tf.int32), tf.TensorSpec((None, 24, 20, 1))],
    )
    for form in (mask, mask[..., None]):
        np.testing.assert_allclose(graph(form, probabilities), loss(mask, probabilities), rtol=1e-5)
    value, slope = gradient(loss, mask[:0], probabilities[:0])
    assert value == 0.0
    assert slope.shape == (0, 24, 20, 1)


@every_loss
def test_values_are_per_image_and_not_pooled(name):
    mask, probabilities = binary_case(shape=(3, 24, 20))
    mask[1] = 0  # Pooled values would differ most beside an empty mask.
    singly = [LOSSES[name]()(mask[i : i + 1], probabilities[i : i + 1]).numpy() for i in range(3)]
    per_image = LOSSES[name](reduction="none")(mask, probabilities)
    np.testing.assert_allclose(per_image, singly, rtol=1e-5)
    np.testing.assert_allclose(LOSSES[name]()(mask, probabilities), np.mean(singly), rtol=1e-5)
    pixels = 24 * 20 if name in ("cross_entropy", "focal") else 1
    np.testing.assert_allclose(
        LOSSES[name](reduction="sum")(mask, probabilities), pixels * np.sum(singly), rtol=1e-5
    )
    weights = [0.5, 2.0, 0.0]
    np.testing.assert_allclose(
        LOSSES[name]()(mask, probabilities, weights),
        np.mean(np.multiply(weights, singly)),
        rtol=1e-5,
    )


@every_loss
def test_multi_label_is_the_mean_of_its_channels(name):
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (2, 20, 20, 3))
    probabilities = rng.uniform(0.05, 0.95, (2, 20, 20, 3)).astype(np.float32)
    single = [
        LOSSES[name](reduction="none")(masks[..., k], probabilities[..., k : k + 1])
        for k in range(3)
    ]
    loss = LOSSES[name](multi_label=True, reduction="none")
    np.testing.assert_allclose(loss(masks, probabilities), np.mean(single, axis=0), rtol=1e-4)
    np.testing.assert_allclose(
        loss.per_class(masks, probabilities), np.transpose(single), rtol=1e-4, atol=1e-6
    )
    weighted = LOSSES[name](multi_label=True, class_weights=[1.0, 3.0, 0.0], reduction="none")
    np.testing.assert_allclose(
        weighted(masks, probabilities), (single[0] + 3.0 * single[1]) / 4.0, rtol=1e-4
    )


@every_loss
def test_ignored_pixels_do_not_matter(name):
    mask, probabilities = binary_case()
    mask[:, 5:9, 3:11] = 255
    rng = np.random.default_rng(3)
    other = probabilities.copy()
    other[:, 5:9, 3:11] = rng.random((2, 4, 8, 1))
    loss = LOSSES[name](ignore_class=255)
    value, slope = gradient(loss, mask, probabilities)
    np.testing.assert_allclose(value, loss(mask, other), rtol=1e-6)
    assert (slope[:, 5:9, 3:11] == 0.0).all()
    assert (slope[:, 12:] != 0.0).any()
    assert np.isfinite(loss(np.full_like(mask, 255), probabilities))

    mask, logits = softmax_case()
    mask[:, 5:9, 3:11] = 255
    loss = LOSSES[name](ignore_class=255, from_logits=True)
    value, slope = gradient(loss, mask, logits)
    assert np.isfinite(value)
    assert (slope[:, 5:9, 3:11] == 0.0).all()


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_predictions(name, dtype):
    loss = LOSSES[name]()
    mask, probabilities = binary_case(shape=(2, 32, 32))
    half = tf.cast(probabilities, dtype)
    value = loss(mask, half)
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, loss(mask, tf.cast(half, tf.float32)), rtol=1e-6)
    for prediction in (mask, 1 - mask, 0 * mask, 0 * mask + 1):
        for truth in (mask, 0 * mask, 0 * mask + 1):
            p = tf.cast(prediction[..., None], dtype)
            with tf.GradientTape() as tape:
                tape.watch(p)
                value = loss(truth, p)
            assert np.isfinite(value)
            assert np.isfinite(tf.cast(tape.gradient(value, p), tf.float32)).all()


def test_gradient_of_a_logarithm_stays_within_float16():
    p = tf.constant(1.2e-7, tf.float16, shape=(1, 1, 1, 1))
    with tf.GradientTape() as tape:
        tape.watch(p)
        value = losses.WeightedCrossEntropy()(np.ones((1, 1, 1)), p)
    assert tape.gradient(value, p).numpy() == -np.finfo(np.float16).max


@every_loss
def test_extreme_logits_stay_finite(name):
    mask, _ = binary_case()
    for scale in (30.0, 1e4):
        logits = (scale * (1 - 2 * mask))[..., None].astype(np.float32)
        for channels in (logits, np.concatenate([logits, -logits, 0 * logits], -1)):
            value, slope = gradient(LOSSES[name](from_logits=True), mask, channels)
            assert np.isfinite(value)
            assert np.isfinite(slope).all()


@every_loss
@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    classes=st.integers(1, 3),
    multi_label=st.booleans(),
    mask_kind=st.sampled_from(["random", "empty", "full", "one pixel"]),
    sharpness=st.sampled_from([0.0, 1.0, 20.0, 1e3]),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "float64"]),
    seed=st.integers(0, 1000),
)
def test_always_finite_never_negative_and_in_range(
    name, height, width, classes, multi_label, mask_kind, sharpness, dtype, seed
):
    rng = np.random.default_rng(seed)
    highest = max(classes - 1, 1)
    mask = np.zeros((1, height, width), np.uint8)
    if mask_kind == "random":
        mask = rng.integers(0, highest + 1, mask.shape)
    elif mask_kind == "full":
        mask += highest
    elif mask_kind == "one pixel":
        mask[0, rng.integers(height), rng.integers(width)] = 1
    if classes > 1 and multi_label:
        mask = np.eye(classes)[mask]
    logits = sharpness * rng.normal(size=(1, height, width, classes))
    exclusive = classes > 1 and not multi_label
    probabilities = tf.nn.softmax(logits) if exclusive else tf.sigmoid(logits)
    probabilities = tf.cast(probabilities, dtype)
    loss = LOSSES[name](multi_label=multi_label)
    with tf.GradientTape() as tape:
        tape.watch(probabilities)
        value = loss(mask, probabilities)
    slope = tape.gradient(value, probabilities)
    assert np.isfinite(value)
    assert value >= 0.0
    if name in IN_UNIT_RANGE:
        assert value <= 1.0 + 1e-5
    assert np.isfinite(tf.cast(slope, tf.float32)).all()


@every_loss
def test_graph_with_unknown_sizes_and_xla_give_the_same(name):
    loss = LOSSES[name](ignore_class=7)
    mask, probabilities = binary_case()
    mask[0, 0, 0] = 7
    expected = loss(mask, probabilities)
    signature = [tf.TensorSpec((None,) * 3, tf.int32), tf.TensorSpec((None, None, None, 1))]
    for jit_compile in (False, True):
        graph = tf.function(loss.__call__, input_signature=signature, jit_compile=jit_compile)
        np.testing.assert_allclose(graph(mask, probabilities), expected, rtol=1e-4)


@every_loss
def test_class_survives_serialization(name):
    options = {
        "cross_entropy": {"normalization": "weights"},
        "focal": {"alpha": None, "gamma": 1.5},
        "iou": {"smooth": 0.5, "use_pixel_weights": True, "include_background": False},
        "tversky": {"alpha": 0.2, "beta": 0.9},
        "cl_dice": {"alpha": 0.3, "iterations": 2, "smooth": 0.5},
        "hybrid": {"weights": [2.0, 0.0, 0.5], "include_background": False},
    }.get(name, {})
    loss = LOSSES[name](
        **options,
        from_logits=True,
        ignore_class=2,
        class_weights=[1.0, 2.0, 3.0],
        reduction="mean_with_sample_weight",
        name="mine",
        dtype="float64",
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    mask, logits = softmax_case()
    assert again(mask, logits) == loss(mask, logits)


@every_loss
def test_compiled_model_saves_and_loads(name, tmp_path):
    """With a metric that bears the name of a loss, too."""
    image = keras.Input((16, 16, 1))
    output = keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(image)
    model = keras.Model(image, output)
    model.compile("sgd", LOSSES[name](), metrics=[metrics.Dice(), metrics.IoU()], jit_compile=False)
    rng = np.random.default_rng(0)
    images, masks = rng.normal(size=(2, 16, 16, 1)), rng.integers(0, 2, (2, 16, 16))
    expected = model.evaluate(images, masks, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.loss) is LOSSES[name]
    assert again.evaluate(images, masks, verbose=0, return_dict=True) == pytest.approx(expected)


@every_loss
def test_alone_trains_a_small_network(name):
    """Disks on a noisy ramp, which no threshold of the grey value finds."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:32, :32]
    centres, radii = rng.uniform(8, 24, (16, 2, 1, 1)), rng.uniform(5, 9, (16, 1, 1))
    masks = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2 < radii**2
    images = masks + 0.3 * rng.normal(size=masks.shape) + columns / 32
    images = images[..., None].astype(np.float32)
    image = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(8, 5, padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(8, 5, padding="same", activation="relu")(x)
    model = keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(x))
    # At a constant rate the last step may happen to be a bad one.
    rate = keras.optimizers.schedules.CosineDecay(0.01, 300)
    model.compile(
        keras.optimizers.Adam(rate), LOSSES[name](), metrics=[metrics.Dice()], jit_compile=False
    )
    data = tf.data.Dataset.from_tensors((images, masks.astype(np.int32))).repeat(300)
    model.fit(data, verbose=0, shuffle=False)
    assert model.evaluate(images, masks, verbose=0, return_dict=True)["dice"] > 0.85


@every_loss
def test_refuses_what_cannot_be_right(name):
    loss = LOSSES[name]()
    mask, probabilities = binary_case()
    with pytest.raises(ValueError, match=r"height, 20 against 24.*\(2, 20, 20\).*cropped"):
        loss(mask[:, 2:-2], probabilities)
    with pytest.raises(ValueError, match=r"1 channel .*or 1 .*\(2, 24, 20, 3\)"):
        loss(np.eye(3)[mask], probabilities)
    with pytest.raises(ValueError, match=r"0 and 255 must be divided.*255\.0"):
        loss(255 * mask, probabilities)
    with pytest.raises(ValueError, match="class ids 0 to 2"):
        loss(3 * mask, np.repeat(probabilities, 3, axis=-1) / 3)
    with pytest.raises(ValueError, match="class ids 0 to 2"):
        loss(mask / 255, np.repeat(probabilities, 3, axis=-1) / 3)
    with pytest.raises(ValueError, match="from_logits=True"):
        loss(mask, 20 * probabilities - 10)
    with pytest.raises(ValueError, match=r"sample_weight must be .*\(2, 24, 19\)"):
        loss(mask, probabilities, np.ones((2, 24, 19)))
    with pytest.raises(ValueError, match="known number of classes"):
        loss(mask, probabilities[..., 0])
    with pytest.raises(ValueError, match="reduction must be one of"):
        LOSSES[name](reduction="median")
    with pytest.raises(ValueError, match="class_weights must hold 3 weights"):
        LOSSES[name](class_weights=[1.0, 2.0], from_logits=True)(*softmax_case())
    with pytest.raises(ValueError, match="non-negative"):
        LOSSES[name](class_weights=[1.0, -2.0])


@every_loss
def test_a_graph_notices_unscaled_masks_too(name):
    loss = LOSSES[name]()
    mask, probabilities = binary_case()
    with pytest.raises(tf.errors.InvalidArgumentError, match="masks of 0 and 255"):
        tf.function(loss.__call__)(tf.constant(255 * mask), tf.constant(probabilities))
    compiled = tf.function(loss.__call__, jit_compile=True)  # XLA has no assertions.
    assert np.isnan(compiled(tf.constant(255 * mask), tf.constant(probabilities)))
