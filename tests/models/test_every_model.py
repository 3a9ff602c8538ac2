"""What holds for every network and option: saving, cloning, dynamic sizes, serving."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import compat, graphs, models

DEEP = {"deep_supervision": True}
GUIDED = {"deep_supervision": True, "classification_guided": True, "presence_weight": 0.5}
SMALL = {"filters": 2, "depth": 2}

MODELS = {
    "unet": (models.unet, 1, 1, {**SMALL, "normalization": (0.5, 0.25)}),
    "unet_valid": (models.unet, 3, 2, {**SMALL, "padding": "valid"}),
    "unet_bilinear": (
        models.unet,
        2,
        1,
        {**SMALL, "upsampling": "bilinear", "batch_norm": True, "upsample_method": "plain"},
    ),
    "attention_unet": (models.attention_unet, 1, 2, SMALL),
    "attention_unet_bilinear": (
        models.attention_unet,
        4,
        1,
        {**SMALL, "upsampling": "bilinear", "gate_finest": True, "batch_norm": False},
    ),
    "unetplusplus": (models.unetplusplus, 1, 1, {**SMALL, **DEEP}),
    "unetplusplus_accurate": (
        models.unetplusplus,
        1,
        3,
        {**SMALL, **DEEP, "mode": "accurate", "upsampling": "bilinear"},
    ),
    "unet3plus": (models.unet3plus, 5, 1, {"filters": (3, 2, 4), "branch_filters": 2}),
    "unet3plus_deep": (models.unet3plus, 1, 2, {**SMALL, **DEEP, "head_weights": 0.5}),
    "unet3plus_guided": (models.unet3plus, 3, 1, {**SMALL, **GUIDED}),
    "unet3plus_guided_classes": (
        models.unet3plus,
        1,
        3,
        {**SMALL, **GUIDED, "upsample_method": "low_resolution"},
    ),
    "unet3plus_logits": (models.unet3plus, 1, 1, {**SMALL, "classifier_activation": None}),
    "unet3plus_multi_label": (
        models.unet3plus,
        1,
        3,
        {**SMALL, **GUIDED, "classifier_activation": "sigmoid"},
    ),
    "fcn8": (models.fcn, 1, 2, {"filters": 2, "encoder": "plain", "dense_filters": 3}),
    "fcn32": (
        models.fcn,
        3,
        1,
        {"filters": 2, "encoder": "plain", "dense_filters": 3, "stride": 32},
    ),
}


def build(name):
    function, channels, classes, options = MODELS[name]
    return function((None, None, channels), classes, **options)


def image_for(model, seed=0):
    """An image of the smallest height and the next width."""
    height, step = model.minimum_size, model.size_divisor
    if step == 1:
        height, step = 33, 1
    shape = (2, height, height + step, model.input.shape[-1])
    return np.random.default_rng(seed).random(shape).astype("float32")


def everything(model, image):
    """All heads, at inference."""
    output = keras.Model(model.input, model.output)(image, training=False)
    return output if isinstance(output, dict) else {"mask": output}


def trained(model, image):
    """Weights and batch statistics that are not those of a fresh model."""
    rng = np.random.default_rng(1)
    model.set_weights(
        [w + rng.uniform(0.05, 0.1, w.shape) if w.ndim == 1 else w for w in model.get_weights()]
    )
    return model


@pytest.mark.parametrize("name", MODELS)
def test_saving_cloning_and_dynamic_sizes(name, tmp_path):
    model = build(name)
    image = image_for(model)
    trained(model, image)
    expected = everything(model, image)
    margin, classes = model.margin, model.num_classes
    height, width = image.shape[1] - 2 * margin, image.shape[2] - 2 * margin
    assert expected["mask"].shape == (2, height, width, classes)
    assert expected["mask"].dtype == tf.float32
    if model.classifier_activation == "softmax":
        np.testing.assert_allclose(np.sum(expected["mask"], -1), 1, rtol=1e-5)

    def same(other, atol=1e-5, remembers=True):
        assert type(other) is models.SegmentationModel
        for attribute in ("margin", "size_divisor", "size_offset", "minimum_size", "head_weights"):
            assert getattr(other, attribute) == getattr(model, attribute)
        assert other.classifier_activation == model.classifier_activation
        if remembers:
            assert other.architecture == MODELS[name][0].__name__
            assert other.options == model.options
            assert [*other.features] == [*model.features]
        assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
        for key, head in everything(other, image).items():
            np.testing.assert_allclose(head, expected[key], atol=atol)

    model.save(tmp_path / "model.keras")
    same(keras.models.load_model(tmp_path / "model.keras"))
    clone = keras.models.clone_model(model)
    model.save_weights(tmp_path / "model.weights.h5")
    clone.load_weights(tmp_path / "model.weights.h5")
    same(clone, remembers=False)  # Keras clones layers only
    revived = models.SegmentationModel.from_config(model.get_config())
    revived.set_weights(model.get_weights())
    same(revived)
    folded = graphs.fold_batch_norm(model)
    same(folded, atol=1e-4)
    assert keras.layers.BatchNormalization not in {type(layer) for layer in folded.layers}

    served = tf.function(
        lambda x: model(x, training=False),
        input_signature=[tf.TensorSpec((None, None, None, image.shape[-1]))],
    )
    np.testing.assert_allclose(served(image), expected["mask"], atol=1e-5)


@pytest.mark.parametrize("name", ["unet_valid", "unet3plus_guided", "unet3plus_guided_classes"])
def test_a_saved_model_runs_in_session_mode(name, tmp_path):
    """As TensorFlow Serving runs it: the C++ loader knows no Python."""
    model = build(name)
    image = image_for(model)
    call = tf.function(
        lambda x: {"mask": model(x, training=False)},
        input_signature=[tf.TensorSpec((None, None, None, image.shape[-1]), name="image")],
    )
    frozen = compat.with_constants(call.get_concrete_function())
    module = tf.Module()
    module.call = frozen
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": frozen})
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path / "1"))
        signature = meta.signature_def["serving_default"]
        (source,) = signature.inputs.values()
        (target,) = signature.outputs.values()
        found = session.run(target.name, {source.name: image})
    np.testing.assert_allclose(found, model(image), atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["unet_valid", "attention_unet", "unetplusplus_accurate", "unet3plus_guided_classes", "fcn8"],
)
def test_a_network_on_a_tensor_of_the_callers_own(name, tmp_path):
    function, channels, classes, options = MODELS[name]
    image = keras.Input((None, None, channels), name="pixels")
    scaled = keras.layers.Rescaling(0.5, name="scaled")(image)
    inner = function(num_classes=classes, input_tensor=scaled, prefix="net_", **options)
    model = build(name)
    own = {layer.name for layer in inner.layers} - {"pixels", "scaled"}
    assert all(name.startswith("net_") for name in own)
    assert inner.options["input_shape"] == [None, None, channels]
    inner.set_weights(model.get_weights())
    pixels = image_for(model)
    expected = everything(model, pixels * 0.5)
    inner.save(tmp_path / "model.keras")
    # A model of the named tensors shares the layers, in a network just built and in a loaded one.
    for network in (inner, keras.models.load_model(tmp_path / "model.keras")):
        assert [*network.features] == [*model.features]
        embedded = keras.Model(network.input, network.features)
        found = embedded(pixels)
        for key, head in expected.items():
            np.testing.assert_allclose(found[key], head, atol=1e-6)
        for key, tensor in model.features.items():
            assert found[key].shape[-1] == tensor.shape[-1]
        np.testing.assert_allclose(network(pixels), expected["mask"], atol=1e-6)


def test_batch_of_one_and_one_channel():
    model = build("unet3plus_guided_classes")
    model.compile("sgd", "sparse_categorical_crossentropy")
    image = image_for(model)[:1]
    assert model.predict(image, verbose=0).shape == (1, *image.shape[1:3], 3)
    model.fit(image, np.ones(image.shape[:3], "int32"), verbose=0)
