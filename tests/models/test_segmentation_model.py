"""One mask trains every head, in plain fit, as the paper's loss says."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import losses, metrics, models, optimizers
from keras_unet3p.compat import KERAS_3
from keras_unet3p.graphs.network_geometry import resolve_activation

SIZE = 16


def network(classes=1, **options):
    options = {"filters": 2, "depth": 2, "presence_dropout": 0.0, **options}
    return models.unet3plus((None, None, 1), classes, **options)


def batch(classes=1, size=SIZE, count=2, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.random((count, size, size, 1)).astype("float32")
    ids = rng.integers(0, max(classes, 2), (count, size, size)).astype("int32")
    ids[0] = 0  # an image without any object
    return image, ids, rng.uniform(0.5, 2, ids.shape).astype("float32")


def cross_entropy(ids, prediction, weight=1.0):
    prediction = np.asarray(prediction, np.float64)
    if prediction.shape[-1] == 1:
        chosen = np.where(ids > 0, prediction[..., 0], 1 - prediction[..., 0])
    else:
        chosen = np.take_along_axis(prediction, ids[..., None], -1)[..., 0]
    return np.mean(-np.log(np.maximum(chosen, 1e-7)) * weight)


def keras_loss(classes):
    return "binary_crossentropy" if classes == 1 else "sparse_categorical_crossentropy"


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_the_training_loss_is_the_weighted_sum_over_heads(classes, weighted):
    model = network(
        classes,
        deep_supervision=True,
        classification_guided=True,
        head_weights={"mask_d2": 0.5, "mask_e3": 0.0},
        presence_weight=0.25,
        kernel_regularizer=keras.regularizers.L2(1e-3),
    )
    image, ids, weight = batch(classes)
    heads = {name: head.numpy() for name, head in model(image, training=True).items()}
    expected = float(sum(float(penalty) for penalty in model.losses))
    for name, factor in (("mask", 1.0), ("mask_d2", 0.5)):
        expected += factor * cross_entropy(ids, heads[name], weight if weighted else 1.0)
    some = np.stack([(ids == k).any((1, 2)) for k in range(classes)], -1)
    labels = some if classes > 1 else np.stack([~(ids > 0).any((1, 2)), (ids > 0).any((1, 2))], -1)
    right = np.where(labels, heads["presence"], 1 - heads["presence"])
    expected += 0.25 * np.mean(-np.log(right))

    model.compile(keras.optimizers.SGD(0.0), keras_loss(classes), run_eagerly=True)
    arguments = (image, ids[..., None], weight) if weighted else (image, ids)
    found = model.train_on_batch(*arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def presence_loss(labels, presence, weights=1.0):
    """Binary cross-entropy of (B, K) labels, (B, 2) where there is one class, by image."""
    labels = np.concatenate([1 - labels, labels], -1) if labels.shape[1] == 1 else labels
    right = np.where(labels, presence, 1 - presence)
    return np.mean(-np.log(right).mean(-1) * weights)


def trained_presence_loss(model, image, mask, loss, weights=None):
    """What the presence head adds to the training loss."""
    values = []
    for factor in (1.0, 0.0):
        model.head_weights = {"presence": factor}
        model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=True)
        values.append(float(model.train_on_batch(image, mask, weights)))
    return values[0] - values[1]


IGNORED = 255


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_presence_does_not_look_at_ignored_pixels(classes, maps):
    model = network(classes, classification_guided=True)
    image, ids, _ = batch(classes, count=3)
    ids[1] = 0
    ids[1, 3, 4] = classes - 1 or 1
    ids[:2, :2] = IGNORED  # of an empty image, and of one that holds an object
    ids[2] = IGNORED  # nothing is known
    mask = ids
    if maps:
        every = [1] if classes == 1 else range(classes)
        mask = np.stack([np.where(ids == IGNORED, IGNORED, ids == k) for k in every], -1)
    if classes == 1:
        labels = np.array([[0], [1], [0]])
    else:
        labels = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0]])
    presence = np.asarray(model(image, training=True)["presence"])
    expected = presence_loss(labels, presence, [1, 1, 0])
    loss = losses.WeightedCrossEntropy(ignore_class=IGNORED)
    found = trained_presence_loss(model, image, mask, loss)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    if classes > 1 and not maps:
        loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=IGNORED)
        found = trained_presence_loss(model, image, mask, loss)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("form", ["images", "column", "map", "map with an axis"])
def test_presence_counts_images_by_their_weights(form):
    model = network(3, classification_guided=True)
    image, ids, _ = batch(3, count=3)
    presence = np.asarray(model(image, training=True)["presence"])
    labels = np.stack([(ids == k).any((1, 2)) for k in range(3)], -1)
    images = np.array([0.5, 0.0, 2.0], "float32")
    if form == "images":
        weights = images
    elif form == "column":
        weights = images[:, None]
    else:
        weights = np.full(ids.shape, 0.25, "float32")
        weights[1] = 0
        ids[0, 5:7, 5:7] = 2  # of which the weight map says that nothing is known
        weights[0, 5:7, 5:7] = 0
        images = [1, 0, 1]
        weights = weights[..., None] if form == "map with an axis" else weights
    found = trained_presence_loss(model, image, ids, losses.WeightedCrossEntropy(), weights)
    np.testing.assert_allclose(found, presence_loss(labels, presence, images), rtol=1e-4)


@pytest.mark.parametrize("shape", [(2,), (2, SIZE, SIZE)])
def test_images_of_weight_0_do_not_train(shape):
    model = network(deep_supervision=True, classification_guided=True)
    image, ids, _ = batch()
    model.compile(keras.optimizers.SGD(0.1), losses.WeightedCrossEntropy())
    before = [weight.numpy() for weight in model.trainable_weights]
    assert model.train_on_batch(image, ids, np.zeros(shape, "float32")) == 0
    for old, new in zip(before, model.trainable_weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_every_head_and_the_presence_module_receive_gradients():
    model = network(deep_supervision=True, classification_guided=True)
    image, ids, _ = batch()
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", run_eagerly=True)
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    model.train_on_batch(image, ids)
    for name in ("mask_conv", "mask_d2_conv", "mask_e3_conv", "presence_conv"):
        assert np.any(before[name][0] != model.get_layer(name).get_weights()[0]), name


def test_metrics_see_the_final_mask_only():
    model = network(deep_supervision=True, classification_guided=True)
    image, ids, _ = batch()
    model.compile("sgd", "mse", metrics=[keras.metrics.MeanSquaredError(name="squared")])
    mask = model.predict(image, verbose=0)
    assert mask.shape == (2, SIZE, SIZE, 1)
    expected = np.mean((mask[..., 0] - ids) ** 2)
    found = model.evaluate(image, ids, verbose=0, return_dict=True)
    np.testing.assert_allclose(found["squared"], expected, rtol=1e-4)
    history = model.fit(image, ids, validation_data=(image, ids), verbose=0).history
    assert set(history) == {"loss", "squared", "val_loss", "val_squared"}
    assert history["loss"][0] > history["squared"][0]


@pytest.mark.parametrize(("classes", "loss"), [(1, "keras"), (3, "ours")])
def test_loss_and_val_loss_are_the_same_quantity(classes, loss):
    """All heads, presence, penalties and weights: equal where nothing is trained."""
    model = models.unetplusplus(
        num_classes=classes,
        filters=2,
        depth=2,
        batch_norm=False,
        deep_supervision=True,
        kernel_regularizer="l2",
        head_weights=0.5,
    )
    image, ids, weight = batch(classes)
    loss = keras_loss(classes) if loss == "keras" else losses.HybridLoss()
    dice = metrics.Dice(name="dice")
    model.compile(keras.optimizers.SGD(0.0), loss, weighted_metrics=[dice], run_eagerly=True)
    arguments = {"x": image, "y": ids[..., None], "sample_weight": weight}
    logs = model.fit(
        **arguments, validation_data=tuple(arguments.values()), shuffle=False, verbose=0
    ).history
    assert set(logs) == {"loss", "val_loss", "dice", "val_dice"}
    np.testing.assert_allclose(logs["val_loss"], logs["loss"], rtol=1e-5)
    np.testing.assert_allclose(logs["val_dice"], logs["dice"], rtol=1e-5)
    model.head_weights = dict.fromkeys(set(model.head_weights) - {"mask"}, 0.0)
    model.compile("sgd", loss, run_eagerly=True)
    alone = model.evaluate(**arguments, verbose=0, return_dict=True)["loss"]
    assert alone < logs["val_loss"][0] - 0.01
    assert model.predict(image, verbose=0).shape == (2, SIZE, SIZE, classes)
    assert model(image).shape == (2, SIZE, SIZE, classes)


def test_presence_counts_in_validation():
    model = network(classification_guided=True)
    image, ids, _ = batch()
    heads = keras.Model(model.input, model.output)(image)
    some = (ids > 0).any((1, 2))[:, None].astype(int)
    values = []
    for factor in (1.0, 0.0):
        model.head_weights = {"presence": factor}
        model.compile("sgd", losses.WeightedCrossEntropy(), run_eagerly=True)
        values.append(model.evaluate(image, ids, verbose=0))
    expected = presence_loss(some, np.asarray(heads["presence"]))
    np.testing.assert_allclose(values[0] - values[1], expected, rtol=1e-3)


def test_calls():
    model = network(deep_supervision=True, classification_guided=True)
    image = batch()[0]
    heads = ["mask", "mask_d2", "mask_e3", "presence"]
    assert sorted(model(image, training=True)) == heads
    assert model(image).shape == model(image, training=False).shape == (2, SIZE, SIZE, 1)
    assert tf.function(model)(image).shape == (2, SIZE, SIZE, 1)
    assert sorted(keras.Model(model.input, model.output)(image)) == heads
    assert model.head_weights == dict.fromkeys(heads, 1.0)
    single = network()
    assert single(image, training=True).shape == (2, SIZE, SIZE, 1)
    assert single.head_weights == {"mask": 1.0}


def test_masks_of_every_form():
    image, ids, weight = batch(3)
    model = network(3, deep_supervision=True)
    losses = []
    for mask, weights in (
        (ids, weight),
        (ids[..., None], weight[..., None]),
        (ids.astype("uint8"), weight[..., None]),
        (ids[..., None].astype("float32"), weight),
    ):
        # Compiled anew: Keras forgets the ranks of a function that has seen several.
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        losses.append(model.evaluate(image, mask, sample_weight=weights, verbose=0))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)
    maps = np.eye(3, dtype="float32")[ids]
    found = model.evaluate(image, maps, sample_weight=weight, verbose=0)
    np.testing.assert_allclose(found, losses[0], rtol=1e-5)


@pytest.mark.parametrize("full_size", [True, False])
def test_unpadded_networks_are_trained_on_the_centre(full_size):
    model = models.unet(filters=2, depth=1, padding="valid")
    size, margin = 28, model.margin
    image, ids, weight = batch(size=size)
    inner = np.s_[:, margin:-margin, margin:-margin]
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy", weighted_metrics=["mse"])
    expected = cross_entropy(ids[inner], model.predict(image, verbose=0), weight[inner])
    cut = np.s_[:] if full_size else inner
    dataset = tf.data.Dataset.from_tensors((image, ids[cut], weight[cut]))
    np.testing.assert_allclose(model.evaluate(dataset, verbose=0)[0], expected, rtol=1e-4)
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy")
    model.fit(dataset, verbose=0)


def test_a_mask_of_another_size_is_refused():
    for model, wanted in (
        (network(), "differ in height, 14 against 16"),
        (
            models.unet(filters=2, depth=1, padding="valid"),
            "differ in height, 26 against 12.*28, the image's, is cropped",
        ),
    ):
        size = SIZE if not model.margin else 28
        model.compile("sgd", "binary_crossentropy")
        pixels = np.zeros((2, size, size, 1), "float32")
        with pytest.raises(ValueError, match=wanted):
            model.evaluate(pixels, np.zeros((2, size - 2, size, 1)), verbose=0)
    with pytest.raises(ValueError, match="expected one loss"):
        network().compile("sgd", {"mask": "mse"})


def test_a_weight_map_a_class_is_refused():
    model = network(3)
    model.compile("sgd", losses.WeightedCrossEntropy(), weighted_metrics=[metrics.Dice()])
    image, ids, _ = batch(3)
    with pytest.raises(ValueError, match=r"sample_weight must be .* weight per pixel.*16, 16, 3"):
        model.train_on_batch(image, ids, np.ones((2, SIZE, SIZE, 3), "float32"))


@pytest.mark.parametrize("loss", ["binary_crossentropy", "keras_unet3p>Dice"])
def test_class_weight_is_refused_with_what_to_use_instead(loss):
    """Keras makes one weight a row of it, which it then spreads over the row's pixels."""
    model = network()
    model.compile("sgd", loss)
    image, ids, _ = batch()
    weights = {0: 1.0, 1: 5.0}
    dataset = tf.data.Dataset.from_tensors((image, ids))
    for call in (
        lambda: model.fit(image, ids, class_weight=weights, verbose=0),
        lambda: model.fit(dataset, class_weight=weights, verbose=0),
        lambda: model.train_on_batch(image, ids, class_weight=weights),
    ):
        with pytest.raises(ValueError, match=r"class_weight is for .*class_weights=\[1\.0, 5\.0\]"):
            call()
    rows = np.ones(ids.shape[:2], "float32")
    with pytest.raises(ValueError, match=r"sample_weight must be .*\(2, 16\).* class_weights"):
        model.train_on_batch(image, ids, rows)


@pytest.mark.parametrize("axis", [False, True])
def test_a_mask_without_a_batch_axis_is_called_so(axis):
    model = network()
    image, ids, _ = batch()
    mask = ids[0][..., None] if axis else ids[0]
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match=r"axis of the batch, which this mask lacks.*\(16, 16"):
        model.fit(tf.data.Dataset.from_tensors((image, mask)), verbose=0)


def test_impossible_masks_and_weights_are_refused_by_the_presence_head():
    """With Keras's own loss, too, which has no opinion."""
    model = network(3, classification_guided=True)
    model.compile("sgd", lambda y, p: tf.reduce_mean(p), run_eagerly=True)
    image, ids, weight = batch(3)
    for mask, weights, message in (
        (ids.astype("int64") + 2**31, weight, "class ids 0 to 2"),
        (ids, weight * np.nan, "finite weights"),
        (ids, -weight, "finite weights"),
    ):
        with pytest.raises(ValueError, match=message):
            model.train_on_batch(image, mask, weights)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("keras_unet3p>Dice", losses.Dice),
        ("keras_unet3p>DiceLoss", losses.Dice),
        ("keras_unet3p>IoU", losses.IoU),
        ("keras_unet3p>HybridLoss", losses.HybridLoss),
        ("keras_unet3p>MSSSIM", losses.MSSSIM),
    ],
)
def test_losses_by_name(name, kind):
    model = network()
    model.compile("sgd", name, run_eagerly=True)
    assert type(model.loss) is kind
    image, ids, _ = batch()
    found = model.evaluate(image, ids, verbose=0)
    np.testing.assert_allclose(found, kind()(ids, model(image)), rtol=1e-5)


def test_names_that_name_no_loss():
    for name in ("keras_unet3p>Dise", "keras_unet3p>SegmentationModel"):
        with pytest.raises(ValueError, match="expected one of ClDice, Dice, Focal, HybridLoss"):
            network().compile("sgd", name)
    with pytest.raises(ValueError, match=r"loss: Dice.*expected Dice\(from_logits=True"):
        network(classifier_activation=None).compile("sgd", "keras_unet3p>Dice")


def test_sums_of_losses_train_save_and_load(tmp_path):
    model = network()
    image, ids, weight = batch()
    mixture = 0.5 * losses.Dice() + losses.Focal()
    model.compile("sgd", mixture, metrics=[metrics.Dice()], run_eagerly=True)
    assert np.isfinite(model.fit(image, ids, sample_weight=weight, verbose=0).history["loss"][0])
    expected = model.evaluate(image, ids, sample_weight=weight, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is losses.HybridLoss
    found = loaded.evaluate(image, ids, sample_weight=weight, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    wrong = losses.Dice(from_logits=True) + losses.Focal(from_logits=True)
    with pytest.raises(ValueError, match=r"expected Dice\(from_logits=False\)"):
        model.compile("sgd", wrong)


OURS = [
    ("loss", losses.HybridLoss),
    ("loss", losses.Dice),
    ("loss", losses.WeightedCrossEntropy),
    ("metrics", metrics.Dice),
    ("metrics", metrics.IoU),
    ("weighted_metrics", metrics.Dice),
]


@pytest.mark.parametrize(("argument", "make"), OURS)
@pytest.mark.parametrize(
    ("classes", "activation", "fits"),
    [
        (1, "sigmoid", {"from_logits": False}),
        (1, None, {"from_logits": True}),
        (3, "softmax", {"from_logits": False, "multi_label": False}),
        (3, "sigmoid", {"from_logits": False, "multi_label": True}),
        (3, None, {"from_logits": True}),
    ],
)
def test_loss_and_metrics_must_fit_the_activation(argument, make, classes, activation, fits):
    model = network(classes, classifier_activation=activation, classification_guided=True)
    for from_logits in (False, True):
        for multi_label in (False, True):
            options = {"from_logits": from_logits, "multi_label": multi_label}
            given = {argument: make(**options)}
            if argument != "loss":
                given = {"loss": "mse", argument: ["mae", given[argument]]}
            wrong = [name for name, value in fits.items() if options[name] != value]
            if not wrong:
                model.compile("sgd", **given)
                continue
            expected = ", ".join(f"{name}={fits[name]}" for name in wrong)
            with pytest.raises(ValueError, match=f"^{argument}: {make.__name__}") as error:
                model.compile("sgd", **given)
            assert str(error.value).endswith(f"expected {make.__name__}({expected})")
            assert f"classifier_activation={activation!r}" in str(error.value)


def test_positional_metrics_are_checked():
    given = {"loss": "mse", "metrics": metrics.Dice(from_logits=True), "loss_weights": None}
    order = ("loss", "loss_weights", "metrics") if KERAS_3 else ("loss", "metrics", "loss_weights")
    with pytest.raises(ValueError, match="metrics: Dice"):
        network().compile("sgd", *(given[name] for name in order))


def test_what_is_not_ours_is_not_judged():
    """Keras's own losses and functions, and masks that a layer of one's own makes."""
    model = network(3, classifier_activation=None)
    for loss in (keras.losses.SparseCategoricalCrossentropy(), "mse", lambda y, p: p, None):
        model.compile("sgd", loss, metrics=["mae", lambda y, p: p])
    image = keras.Input((None, None, 1))
    logits = models.unet3plus(
        input_tensor=image, classifier_activation=None, filters=2, depth=2
    ).features["mask"]
    own = keras.layers.Activation("sigmoid")(logits)
    models.SegmentationModel(image, own).compile("sgd", losses.Dice(), metrics=[metrics.Dice()])


def test_masks_that_a_layer_of_ones_own_makes_are_trained_and_their_activation_is_not_guessed():
    image = keras.Input((SIZE, SIZE, 1))
    tensors = models.unet3plus(
        input_tensor=image,
        classifier_activation=None,
        filters=2,
        depth=2,
        classification_guided=True,
    ).features
    own = keras.layers.Activation("sigmoid")(tensors["mask"])
    model = models.SegmentationModel(image, {"mask": own, "presence": tensors["presence"]})
    assert not hasattr(model, "classifier_activation")
    with pytest.raises(AttributeError, match=r"a layer other than layers\.SegmentationOutput"):
        _ = model.classifier_activation
    pixels, ids, _ = batch()
    model.compile("sgd", "binary_crossentropy")
    assert np.isfinite(model.train_on_batch(pixels, ids))
    assert resolve_activation(model, "auto") is None  # taken to give probabilities


def test_a_model_compiled_with_our_own_is_loaded_compiled(tmp_path):
    model = network(3, classifier_activation=None, deep_supervision=True)
    model.compile(
        "sgd", losses.HybridLoss(from_logits=True), metrics=[metrics.Dice(from_logits=True)]
    )
    image, ids, _ = batch(3)
    expected = model.evaluate(image, ids, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.evaluate(image, ids, verbose=0), expected, rtol=1e-5)


def test_head_weights_can_be_set():
    model = network(deep_supervision=True)
    model.head_weights = {"mask_d2": 0.125}
    assert model.head_weights["mask_d2"] == 0.125
    assert keras.models.clone_model(model).head_weights == model.head_weights
    with pytest.raises(ValueError, match="'mask_d9'"):
        model.head_weights = {"mask_d9": 1.0}
    with pytest.raises(ValueError, match="'mask_d9'"):
        network(deep_supervision=True, head_weights={"mask_d9": 1.0})


def test_a_compiled_model_is_loaded_compiled(tmp_path):
    model = network(deep_supervision=True, classification_guided=True, head_weights=0.5)
    image, ids, _ = batch()
    loss = keras.losses.BinaryCrossentropy()
    model.compile("adam", loss, metrics=["mse"], run_eagerly=True)
    model.fit(image, ids, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is models.SegmentationModel
    assert loaded.head_weights == model.head_weights
    for _ in range(2):  # the optimizer's state came along
        expected = model.train_on_batch(image, ids)
        np.testing.assert_allclose(loaded.train_on_batch(image, ids), expected, rtol=1e-3)


def test_as_a_part_of_another_model():
    inner = network(deep_supervision=True, classification_guided=True)
    image = keras.Input((SIZE, SIZE, 1))
    outer = keras.Model(image, keras.layers.Rescaling(2.0)(inner(image)))
    assert tuple(outer.output.shape) == (None, SIZE, SIZE, 1)
    pixels, ids, _ = batch()
    np.testing.assert_allclose(outer(pixels), 2 * inner(pixels), rtol=1e-6)
    outer.compile("sgd", "mse")
    outer.fit(pixels, ids[..., None], verbose=0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = network(deep_supervision=True, classification_guided=True, filters=16)
        model.compile("sgd", "binary_crossentropy")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    image, ids, _ = batch()
    assert model.get_layer("d1_d2_conv").compute_dtype == policy.removeprefix("mixed_")
    assert model(image).dtype == tf.float32
    if policy == "mixed_float16":
        assert "LossScale" in type(model.optimizer).__name__
    assert np.isfinite(model.train_on_batch(image, ids))


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (models.unet3plus, {"depth": 2}),
        (models.unet, {"depth": 2}),
        (models.fcn, {"encoder": "plain", "dense_filters": 2}),
    ],
)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_sees_the_image_as_fine_as_it_is(policy, build, options):
    """The normalisation is in float32 from the image on, the convolutions are not."""
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = build((None, None, 1), filters=2, normalization=(1e5, 2.0), **options)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    inner = [model.get_layer(name).output for name in ("normalization", "e1_1_conv")]
    image = 1e5 + np.arange(-8, 8, dtype="float32").repeat(64).reshape(1, 32, 32, 1)
    normalized, convolved = keras.Model(model.input, inner)(image)
    np.testing.assert_array_equal(tf.cast(normalized, tf.float32), (image - 1e5) / 2)
    half = tf.as_dtype(policy.removeprefix("mixed_"))
    assert normalized.dtype == convolved.dtype == half
    assert model(image).dtype == tf.float32


def test_xla_gives_the_same_step():
    image, ids, _ = batch()
    losses = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = network(deep_supervision=True, classification_guided=True, filters=24)
        model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", jit_compile=jit_compile)
        losses.append([float(model.train_on_batch(image, ids)) for _ in range(2)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    model.compile("sgd", "mse")
    if KERAS_3 and not tf.config.list_physical_devices("GPU"):
        assert not model.jit_compile


def test_a_step_is_traced_once(monkeypatch):
    """What makes variables is traced again by TensorFlow, in as much time once more."""
    traced = []
    step = models.SegmentationModel.train_step
    monkeypatch.setattr(
        models.SegmentationModel,
        "train_step",
        lambda self, data: traced.append(self) or step(self, data),
    )
    model = network()
    both = [metrics.Dice(), metrics.IoU()]
    model.compile(optimizers.AdamW(1e-3), losses.HybridLoss(), metrics=both, weighted_metrics=[])
    image, ids, _ = batch()
    model.fit(image, ids, verbose=0)
    assert traced == [model]


REPLICAS = """
import keras, numpy as np, tensorflow as tf
from keras_unet3p import losses, metrics, models, optimizers
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
image = rng.random((4, 8, 8, 1)).astype("float32")
mask = (rng.random((4, 8, 8)) > 0.5).astype("int32")
data = tf.data.Dataset.from_tensor_slices((image, mask)).batch(4)
results = []
for strategy in (
    tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = models.unetplusplus(
            filters=2, depth=2, batch_norm=False, deep_supervision=True,
            kernel_regularizer="l2", kernel_initializer=keras.initializers.HeNormal(seed=1),
        )
        model.compile(OPTIMIZER, "binary_crossentropy", metrics=[metrics.Dice()])
    loss = model.fit(data, verbose=0).history["loss"][0]
    results.append([np.array([loss]), *model.get_weights()])
for one, two in zip(*results):
    np.testing.assert_allclose(one, two, atol=2e-5, rtol=1e-4)
"""


@pytest.mark.parametrize(
    "optimizer", ["keras.optimizers.SGD(0.5)", "optimizers.AdamW(0.01, epsilon=1e-3)"]
)
def test_two_replicas_make_the_step_of_one_device(optimizer):
    script = REPLICAS.replace("OPTIMIZER", optimizer)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


@pytest.mark.parametrize("activation", ["auto", None])
def test_several_classes_in_an_image_that_holds_nothing_are_all_background(activation):
    """Logits included: what is left after a softmax is the background, not an even draw."""
    model = network(3, classifier_activation=activation, classification_guided=True)
    presence = model.get_layer("presence_conv")
    presence.set_weights([np.zeros_like(presence.get_weights()[0]), np.full(3, -5.0)])
    found = np.asarray(model(batch()[0]))
    if activation is None:
        found = tf.nn.softmax(found).numpy()
    np.testing.assert_allclose(found[..., 0], 1.0, rtol=1e-6)
