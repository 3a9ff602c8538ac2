"""Streaming Dice and IoU against scikit-learn's confusion matrix."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import losses
from keras_unet3p.metrics import Dice, IoU

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")

RNG = np.random.default_rng(0)
MASKS = RNG.integers(0, 3, (6, 13, 17))
SCORES = (np.eye(3)[MASKS] + RNG.normal(0, 0.7, (6, 13, 17, 3))).astype(np.float32)
PROBABILITIES = tf.nn.softmax(SCORES).numpy()
METRICS = {"dice": Dice, "iou": IoU}
both = pytest.mark.parametrize("name", METRICS)


def from_confusion(name, confusion):
    hits, true, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    return 2 * hits / (true + predicted) if name == "dice" else hits / (true + predicted - hits)


def updated(metric, *batches):
    for batch in batches:
        metric.update_state(*batch)
    return metric


@both
def test_classes_equal_the_confusion_matrix(name):
    predicted = SCORES.argmax(-1)
    confusion = sklearn_metrics.confusion_matrix(MASKS.ravel(), predicted.ravel())
    expected = from_confusion(name, confusion)
    make = METRICS[name]
    batches = [(MASKS[i : i + 2], PROBABILITIES[i : i + 2]) for i in (0, 2, 4)]
    np.testing.assert_allclose(
        updated(make(average="none", include_background=True), *batches).result(),
        expected,
        rtol=1e-6,
    )
    np.testing.assert_allclose(updated(make(), *batches).result(), expected[1:].mean(), rtol=1e-6)
    np.testing.assert_allclose(
        updated(make(3, include_background=True), *batches).result(), expected.mean(), rtol=1e-6
    )
    np.testing.assert_allclose(
        updated(make(average="none"), *batches).result(), expected[1:], rtol=1e-6
    )
    hits, true, found = np.diag(confusion)[1:], confusion.sum(1)[1:], confusion.sum(0)[1:]
    pooled = hits.sum() / (true.sum() + found.sum() - hits.sum())
    if name == "dice":
        pooled = 2 * hits.sum() / (true.sum() + found.sum())
    np.testing.assert_allclose(updated(make(average="micro"), *batches).result(), pooled, rtol=1e-6)


@both
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_one_channel_is_thresholded(name, threshold):
    masks, p = MASKS > 1, PROBABILITIES[..., 2:]
    confusion = sklearn_metrics.confusion_matrix(masks.ravel(), (p >= threshold).ravel())
    expected = from_confusion(name, confusion)
    make = METRICS[name]
    metric = make(threshold=threshold)
    np.testing.assert_allclose(updated(metric, (masks, p)).result(), expected[1], rtol=1e-6)
    metric = make(threshold=threshold, include_background=True, average="none")
    np.testing.assert_allclose(updated(metric, (masks, p)).result(), expected, rtol=1e-6)


@both
def test_scikit_learns_own_scores(name):
    theirs = sklearn_metrics.f1_score if name == "dice" else sklearn_metrics.jaccard_score
    masks, p = MASKS > 1, PROBABILITIES[..., 2:]
    np.testing.assert_allclose(
        updated(METRICS[name](), (masks, p)).result(),
        theirs(masks.ravel(), p.ravel() > 0.5),
        rtol=1e-6,
    )


@both
def test_forms_of_masks_and_predictions(name):
    make = METRICS[name]
    expected = updated(make(), (MASKS, PROBABILITIES)).result()
    for masks in (MASKS[..., None], np.eye(3)[MASKS], MASKS.astype(np.float32)):
        assert updated(make(), (masks, PROBABILITIES)).result() == expected
    assert updated(make(from_logits=True), (MASKS, SCORES)).result() == expected
    binary = updated(make(), (MASKS > 0, PROBABILITIES[..., :1])).result()
    logits = np.log(PROBABILITIES[..., :1] / (1 - PROBABILITIES[..., :1]))
    assert updated(make(from_logits=True), (MASKS > 0, logits)).result() == binary
    half = PROBABILITIES.astype(np.float16)
    rounded = updated(make(), (MASKS.astype(np.uint8), half)).result()
    assert float(rounded) == pytest.approx(float(expected), abs=0.01)


@both
def test_multi_label_takes_channels_apart(name):
    masks = RNG.integers(0, 2, (2, 13, 17, 3))
    p = RNG.random((2, 13, 17, 3))
    metric = updated(METRICS[name](multi_label=True, average="none"), (masks, p))
    expected = [
        updated(METRICS[name](), (masks[..., k], p[..., k : k + 1])).result() for k in range(3)
    ]
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


@both
def test_multi_label_takes_class_ids(name):
    """As the losses do: the class that an id names is the one label of the pixel."""
    p = RNG.random(SCORES.shape)
    marked = MASKS.copy()
    marked[0, :5] = 255
    make = METRICS[name]
    for ids, options in ((MASKS, {}), (marked, {"ignore_class": 255})):
        maps = np.where(ids[..., None] == 255, 255, np.eye(3, dtype=int)[ids % 255])
        arguments = {"multi_label": True, "average": "none", **options}
        expected = updated(make(**arguments), (maps, p)).result()
        assert expected.shape == (3,)
        for form in (ids, ids[..., None], ids.astype(np.float32)):
            np.testing.assert_array_equal(updated(make(**arguments), (form, p)).result(), expected)


@both
def test_weights_and_ignored_pixels_leave_pixels_out(name):
    make = METRICS[name]
    expected = updated(make(), (MASKS[:, :, :9], PROBABILITIES[:, :, :9])).result()
    weights = np.zeros(MASKS.shape)
    weights[:, :, :9] = 1
    for form in (weights, weights[..., None]):
        assert updated(make(), (MASKS, PROBABILITIES, form)).result() == expected
    marked = MASKS.copy()
    marked[:, :, 9:] = 255
    assert updated(make(ignore_class=255), (marked, PROBABILITIES)).result() == expected
    images = np.array([1.0, 0.0, 2.5, 0.0, 0.0, 0.0])
    repeated = updated(
        make(),
        (MASKS[:1], PROBABILITIES[:1]),
        (MASKS[2:3], PROBABILITIES[2:3], 2.5),
    ).result()
    assert float(updated(make(), (MASKS, PROBABILITIES, images)).result()) == pytest.approx(
        float(repeated)
    )


@both
def test_class_in_neither_is_perfect(name):
    masks, p = np.zeros((1, 4, 4)), np.zeros((1, 4, 4, 1))
    assert updated(METRICS[name](), (masks, p)).result() == 1.0
    assert updated(METRICS[name](), (masks, p + 1)).result() == 0.0
    assert updated(METRICS[name](), (masks + 1, p)).result() == 0.0
    assert updated(METRICS[name](), (masks + 1, p + 1)).result() == 1.0
    p = np.eye(3)[np.ones((1, 4, 4), int)]
    metric = updated(METRICS[name](average="none"), (masks + 1, p))
    np.testing.assert_array_equal(metric.result(), [1.0, 1.0])


@both
def test_does_not_lose_counts_over_many_images(name):
    """Counts beyond 2^24, where float32 would stop counting single pixels."""
    metric = METRICS[name]()
    masks, p = np.ones((1, 1024, 1024)), np.ones((1, 1024, 1024, 1))
    one = np.zeros((1, 1024, 1024))
    one[0, 0, 0] = 1
    for _ in range(20):
        metric.update_state(masks, p)
    for _ in range(5):
        metric.update_state(one, p * 0)
    total = 20 * 1024**2
    np.testing.assert_array_equal(metric.variables[0][:, 1], [total, total + 5, total])
    metric.reset_state()
    np.testing.assert_array_equal(metric.variables[0], np.zeros((3, 2)))
    # ... nor within one update.
    metric.update_state(np.ones((2, 4, 4)), np.ones((2, 4, 4, 1)), [2.0**24, 1.0])
    np.testing.assert_array_equal(metric.variables[0][:, 1], 3 * [16 * 2**24 + 16])


@both
@pytest.mark.parametrize("jit_compile", [False, True])
def test_inside_fit(name, jit_compile):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    make = METRICS[name]
    model.compile(
        "sgd",
        "mse",
        metrics=[make(), make(3, name="each", average="none")],
        weighted_metrics=[make(name="weighted")],
        jit_compile=jit_compile,
    )
    weights = RNG.integers(0, 2, MASKS.shape)
    one_hot = np.eye(3, dtype=np.float32)[MASKS]
    logs = model.evaluate(
        PROBABILITIES, one_hot, batch_size=2, sample_weight=weights, return_dict=True, verbose=0
    )
    expected = updated(make(), (MASKS, PROBABILITIES)).result()
    assert logs[name] == pytest.approx(float(expected))
    np.testing.assert_allclose(
        logs["each"], updated(make(average="none"), (MASKS, PROBABILITIES)).result(), rtol=1e-6
    )
    expected = updated(make(), (MASKS, PROBABILITIES, weights)).result()
    assert logs["weighted"] == pytest.approx(float(expected))


@both
def test_scores_of_the_classes_beside_a_mean_for_tensorboard(name, tmp_path):
    metric, seen = METRICS[name](3), []
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(3, 1, activation="softmax")(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[metric])
    one_hot = np.eye(3, dtype=np.float32)[MASKS]
    reader = keras.callbacks.LambdaCallback()
    reader.on_test_end = lambda logs=None: seen.append(metric.per_class().numpy())
    held_out = (PROBABILITIES[3:], one_hot[3:])
    model.fit(
        PROBABILITIES[:3],
        one_hot[:3],
        validation_data=held_out,
        callbacks=[keras.callbacks.TensorBoard(tmp_path), reader],
        verbose=0,
    )
    alone = METRICS[name](3, average="none")
    expected = updated(alone, (MASKS[3:], model.predict(held_out[0], verbose=0))).result()
    np.testing.assert_allclose(seen, [expected], rtol=1e-6)


IMPOSSIBLE = [
    # masks, then weights, that no metric may count, and how the error begins
    (MASKS + 1, None, "y_true .* class ids 0 to 2"),
    (np.where(MASKS == 2, 2**31, MASKS), None, "y_true .* class ids 0 to 2"),
    (MASKS + 2**32, None, "y_true .* class ids 0 to 2"),
    (MASKS - 1, None, "y_true .* class ids 0 to 2"),
    (MASKS + 0.5, None, "y_true .* class ids 0 to 2"),
    (np.where(MASKS == 2, np.nan, MASKS), None, "y_true .* class ids 0 to 2"),
    (MASKS, np.full(MASKS.shape, np.nan), "sample_weight must hold finite weights"),
    (MASKS, np.where(MASKS == 2, -1.0, 1.0), "sample_weight must hold finite weights"),
    (MASKS, [1.0, np.inf, 1.0, 1.0, 1.0, 1.0], "sample_weight must hold finite weights"),
    (MASKS, np.nan, "sample_weight must hold finite weights"),
]


@both
@pytest.mark.parametrize(("masks", "weights", "message"), IMPOSSIBLE)
def test_what_the_losses_refuse_is_refused(name, masks, weights, message):
    """Once dropped, wrapped or counted as perfect."""
    with pytest.raises(ValueError, match=message):
        updated(METRICS[name](), (masks, PROBABILITIES, weights))
    with pytest.raises(ValueError, match=message):
        losses.HybridLoss()(masks, PROBABILITIES, weights)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_graph_refuses_too_and_xla_gives_nan(jit_compile):
    metric = Dice(3)

    @tf.function(jit_compile=jit_compile)
    def update(*arguments):
        metric.update_state(*arguments)

    for masks, weights, message in (IMPOSSIBLE[1], IMPOSSIBLE[6]):
        weights = np.ones(MASKS.shape) if weights is None else weights
        arguments = [tf.constant(masks), tf.constant(PROBABILITIES), tf.constant(weights)]
        if not jit_compile:
            with pytest.raises(tf.errors.InvalidArgumentError, match=message):
                update(*arguments)
            continue
        update(*arguments)
        assert np.isnan(metric.result())
        metric.reset_state()


@both
@pytest.mark.parametrize("empty", [True, False])
def test_nan_predictions_are_never_perfect(name, empty):
    """Not even of masks that are all background."""
    masks = np.zeros_like(MASKS) if empty else MASKS
    broken = PROBABILITIES.copy()
    broken[0, 0, 0] = np.nan
    for average in ("macro", "micro", "none"):
        for truth, p in (
            (masks, broken),
            (masks > 1, broken[..., 2:]),
            (masks > 1, np.full_like(broken[..., 2:], np.nan)),
        ):
            metric = updated(METRICS[name](average=average), (truth, p), (truth, np.nan_to_num(p)))
            assert np.isnan(metric.result()).all()
            metric.reset_state()
            assert np.isfinite(updated(metric, (truth, np.nan_to_num(p))).result()).all()
    # What does not count may be anything.
    weights = np.ones(masks.shape)
    weights[0, 0, 0] = 0
    assert np.isfinite(updated(METRICS[name](), (masks, broken, weights)).result())


@both
def test_a_weight_map_of_the_loss_counts_pixels_once(name):
    weights = RNG.uniform(0.5, 11.0, MASKS.shape)
    weights[:, :, 9:] = 0
    make = METRICS[name]
    metric = make(use_pixel_weights=False)
    found = updated(metric, (MASKS, PROBABILITIES, weights)).result()
    expected = updated(make(), (MASKS[:, :, :9], PROBABILITIES[:, :, :9])).result()
    assert found == expected
    assert updated(make(), (MASKS, PROBABILITIES, weights)).result() != expected
    images = [1.0, 0.0, 2.5, 0.0, 0.0, 0.0]
    scaled = [
        updated(make(use_pixel_weights=use), (MASKS, PROBABILITIES, images)).result()
        for use in (True, False)
    ]
    assert scaled[0] == scaled[1]


@both
def test_survives_serialization(name):
    metric = METRICS[name](
        3,
        threshold=0.4,
        include_background=True,
        average="micro",
        ignore_class=9,
        from_logits=True,
        use_pixel_weights=False,
        name="mine",
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()


@both
def test_nothing_seen_yet(name):
    assert METRICS[name]().result() == 0.0


@both
def test_refuses_what_cannot_be_right(name):
    make = METRICS[name]
    with pytest.raises(ValueError, match=r"differ in width, 16 against 17.*\(6, 13, 16\)"):
        make().update_state(MASKS[:, :, 1:], PROBABILITIES)
    with pytest.raises(ValueError, match="num_classes=4"):
        make(4).update_state(MASKS, PROBABILITIES)
    with pytest.raises(ValueError, match="y_true must have 1 channel"):
        make().update_state(np.eye(2)[MASKS % 2], PROBABILITIES)
    with pytest.raises(ValueError, match="known number of classes"):
        make().update_state(MASKS, PROBABILITIES[..., 0])
    with pytest.raises(ValueError, match="sample_weight must be"):
        make().update_state(MASKS, PROBABILITIES, np.ones((6, 13)))
    with pytest.raises(ValueError, match="average must be"):
        make(average="mean")
    with pytest.raises(ValueError, match="threshold must be"):
        make(threshold=1.5)
    with pytest.raises(ValueError, match="num_classes must be"):
        make(0)
