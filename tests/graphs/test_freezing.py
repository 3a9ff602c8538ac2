from __future__ import annotations

from collections import Counter

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p.export import export_savedmodel
from keras_unet3p.graphs import fold_batch_norm, freeze_network
from keras_unet3p.layers import UpsampleConv2D
from keras_unet3p.models import unet3plus
from tests.export.session import SessionModel
from tests.tiling.networks import small_network, trained_statistics

TILE = np.random.default_rng(0).random((2, 64, 64, 1), np.float32)


def fused_kinds(nodes):
    """How many convolutions ran, by what ran in the same kernel."""
    return Counter(
        tuple(part.decode() for part in node.attr["fused_ops"].list.s)
        for node in nodes
        if "Conv2D" in node.op
    )


def request(signature):
    image = np.random.default_rng(1).integers(0, 255, (1, 150, 90, 1), np.uint8, endpoint=True)
    return {
        "serving_default": {"image_bytes": [cv2.imencode(".png", image[0])[1].tobytes()]},
        "classes": {"image": image},
        "probabilities": {"image": image},
        "tile": {"tile": TILE},
    }[signature]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A U-Net whose batch norms have learnt something, exported."""
    model = small_network(depth=1)
    folder = export_savedmodel(model, tmp_path_factory.mktemp("models") / "m", tile_size=64, halo=8)
    with SessionModel(folder) as served:
        yield model, served


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """The same for a UNet 3+ with all that it can have."""
    model = unet3plus(filters=(4, 8, 8, 8), deep_supervision=True, classification_guided=True)
    trained_statistics(model)
    model.get_layer("presence_conv").bias.assign([-9.0, 9.0])
    folder = export_savedmodel(model, tmp_path_factory.mktemp("models") / "m", tile_size=64)
    with SessionModel(folder) as served:
        yield model, served


def count_layers(model, kind):
    return sum(isinstance(layer, kind) for layer in model.layers)


@pytest.mark.parametrize("signature", ["tile", "classes", "probabilities", "serving_default"])
def test_convolution_norm_and_relu_run_as_one_kernel_in_every_signature(plain, signature):
    model, served = plain
    nodes = served.executed_nodes(signature, **request(signature))
    operations = Counter(node.op for node in nodes)
    norms = count_layers(model, keras.layers.BatchNormalization)
    assert fused_kinds(nodes) == {("BiasAdd", "Relu"): norms, ("BiasAdd",): 1}
    assert not any("BatchNorm" in op or op in ("Relu", "Rsqrt", "BiasAdd") for op in operations)
    if signature != "tile":
        assert operations["LoopCond"] >= 1  # the tiles' loop is part of what was looked at


def test_unet3plus_is_fused_too(guided):
    model, served = guided
    nodes = served.executed_nodes("classes", **request("classes"))
    operations = Counter(node.op for node in nodes)
    norms = count_layers(model, keras.layers.BatchNormalization)
    # Upsampling convolutions that are computed at low resolution end in a matrix product.
    products = operations["Relu"]
    assert products <= count_layers(model, UpsampleConv2D)
    assert fused_kinds(nodes)[("BiasAdd", "Relu")] + products == norms > 20
    assert not any("BatchNorm" in op or op == "Rsqrt" for op in operations)


def test_folding_leaves_the_function_as_it_was(guided):
    model, served = guided
    expected = model(TILE, training=False)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(served("tile", tile=TILE)["probabilities"], expected, atol=1e-5)


def odd_network():
    """Every case next to which a folding goes wrong if it is careless."""
    layers = keras.layers
    image = layers.Input((None, None, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)  # ReLU before the norm
    x = layers.BatchNormalization()(x)
    both = layers.Conv2D(4, 3, padding="same")(x)  # read by the norm and by another layer
    x = layers.Add()([layers.BatchNormalization()(both), both])
    x = layers.Conv2DTranspose(6, 2, strides=2, padding="same")(x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.Conv2D(6, 3, padding="same", strides=2, use_bias=False)(x)
    x = layers.BatchNormalization(center=False)(layers.ReLU()(x))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
    shared = layers.BatchNormalization()
    x = layers.Concatenate()(
        [shared(layers.Conv2D(4, 1)(x)), shared(layers.Conv2D(4, 3, 1, "same")(x))]
    )
    inner_input = layers.Input((None, None, 8))
    inner = keras.Model(
        inner_input, layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(inner_input))
    )
    return keras.Model(image, inner(x))


def test_what_must_not_be_folded_is_not():
    model = odd_network()
    trained_statistics(model, 3)
    frozen = freeze_network(model, (64, 64), 1)
    np.testing.assert_allclose(frozen(TILE), model(TILE, training=False), rtol=1e-4, atol=1e-5)
    normalised = [
        node for node in frozen.graph_def.node if "Rsqrt" in node.op or "BatchNorm" in node.op
    ]
    # The transposed and the inner convolution are folded; of 8 normalisations 6 uses remain.
    assert len(normalised) in (5, 6)


def add_operator(x, normalised):
    return x + normalised


def nested_reader(x, normalised):
    inner = keras.Input(x.shape[1:])
    model = keras.Model(inner, keras.layers.Activation("tanh")(inner))
    return keras.layers.Add()([model(x), normalised])


def layer_called_twice(x, normalised):
    shared = keras.layers.Activation("tanh")
    return keras.layers.Concatenate()([shared(x), shared(normalised)])


@pytest.mark.parametrize("reader", [add_operator, nested_reader, layer_called_twice])
def test_a_convolution_with_another_reader_is_not_folded(reader):
    """Pre-activation residual blocks: the sum reads what the normalisation reads."""
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    normalised = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(reader(x, normalised)))
    trained_statistics(model)
    expected = model(TILE, training=False)
    frozen = freeze_network(model, (64, 64), 1)
    np.testing.assert_allclose(frozen(tf.constant(TILE)), expected, atol=1e-5)
    np.testing.assert_allclose(fold_batch_norm(model)(TILE), expected, atol=1e-5)


def test_an_output_of_a_nested_model_is_not_folded():
    inner = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(2, 3, padding="same")(inner)
    nested = keras.Model(inner, [x, keras.layers.BatchNormalization()(x)])
    trained_statistics(nested)
    image = keras.Input((None, None, 1))
    model = keras.Model(image, keras.layers.Concatenate()(nested(image)))
    expected = model(TILE, training=False)
    frozen = freeze_network(model, (64, 64), 1)
    np.testing.assert_allclose(frozen(tf.constant(TILE)), expected, atol=1e-5)


def test_exporting_leaves_the_model_as_it_was():
    model = small_network()
    before = [w.copy() for w in model.get_weights()]
    freeze_network(model, (64, 64), 1)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def nested_normalised(sequential: bool):
    layers = keras.layers
    if sequential:
        return keras.Sequential(
            [
                layers.Input((None, None, 1)),
                layers.Conv2D(3, 3, padding="same", name="conv"),
                layers.BatchNormalization(name="norm"),
            ]
        )
    image = keras.Input((None, None, 1))
    x = layers.BatchNormalization(name="norm")(
        layers.Conv2D(3, 3, padding="same", name="conv")(image)
    )
    return keras.Model(image, layers.ReLU()(x))


@pytest.mark.parametrize("sequential", [False, True], ids=["functional", "sequential"])
def test_models_within_models_are_folded_too(sequential):
    inner = nested_normalised(sequential)
    middle_input = keras.Input((None, None, 1))
    middle = keras.Model(middle_input, keras.layers.Activation("tanh")(inner(middle_input)))
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 3, padding="same", name="conv")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    model = keras.Model(image, middle(x))
    trained_statistics(inner, 1)
    trained_statistics(model, 2)
    expected = model(TILE, training=False)
    assert np.ptp(expected) > 0.01
    folded = fold_batch_norm(model)
    np.testing.assert_allclose(folded(TILE), expected, atol=1e-5)
    kinds = [type(layer).__name__ for layer in all_layers(folded)]
    assert kinds.count("FoldedBatchNormalization") == 2
    assert "BatchNormalization" not in kinds
    assert count_layers(inner, keras.layers.BatchNormalization) == 1  # the model itself stays


def all_layers(model):
    for layer in model.layers:
        yield layer
        yield from all_layers(layer) if isinstance(layer, keras.Model) else ()
