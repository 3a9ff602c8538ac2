from __future__ import annotations

from collections import Counter
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p.export import export_savedmodel
from keras_unet3p.graphs.freezing import freeze_network
from keras_unet3p.graphs.frozen_network import FrozenNetwork
from keras_unet3p.graphs.skipping_network import SkippingNetwork
from keras_unet3p.models import unet3plus
from keras_unet3p.tiling import predict_image
from tests.export.session import SessionModel


@cache
def guided_model(num_classes=1, activation="auto"):
    """A classification-guided UNet 3+ that finds bright tiles to hold something, dark ones not."""
    keras.utils.set_random_seed(0)
    model = unet3plus(
        num_classes=num_classes,
        classifier_activation=activation,
        filters=(4, 8, 8),
        classification_guided=True,
    )
    # One feature, the one whose maximum differs most, decides; the bias puts zero in the middle.
    head = model.get_layer("presence_conv")
    features = keras.Model(model.inputs, head.input)
    dark, bright = (features(tile(value)).numpy().max((0, 1, 2)) for value in (0.0, 1.0))
    best = int(np.argmax(bright - dark))
    assert bright[best] - dark[best] > 0.05
    kernel, bias = (np.zeros_like(w) for w in head.get_weights())
    kernel[..., best, 1 if num_classes == 1 else slice(None)] = 100  # one class: (absent, present)
    bias[1 if num_classes == 1 else slice(None)] = -50 * (dark[best] + bright[best])
    head.set_weights([kernel, bias])
    return model


def tile(value, size=32):
    return np.full((1, size, size, 1), value, np.float32)


@pytest.mark.parametrize(
    ("num_classes", "activation"), [(1, "auto"), (3, "softmax"), (3, "sigmoid"), (1, None)]
)
def test_the_mask_is_that_of_the_model_whether_a_tile_is_skipped_or_not(num_classes, activation):
    model = guided_model(num_classes, activation)
    skipping = freeze_network(model, (32, 32), 1)
    full = freeze_network(model, (32, 32), 1, skip_empty=False)
    assert type(skipping) is SkippingNetwork
    assert type(full) is FrozenNetwork
    rng = np.random.default_rng(0)
    tiles = np.concatenate([tile(v) for v in (0.0, 1.0, 0.0, 1.0)])
    tiles += rng.normal(0, 0.02, tiles.shape).astype(np.float32)
    expected = full(tiles).numpy()
    run = tf.function(skipping)
    np.testing.assert_allclose(run(tiles), expected, atol=1e-6)
    for i in (0, 1):
        np.testing.assert_allclose(run(tiles[i : i + 1]), expected[i : i + 1], atol=1e-6)
    np.testing.assert_allclose(run(tiles[::2]), expected[::2], atol=1e-6)
    # One of them is really empty and the other is not.
    assert np.ptp(expected[0], axis=(0, 1)).max() == 0
    assert np.ptp(expected[1], axis=(0, 1)).max() > 0


def test_the_decoder_is_not_run_for_an_empty_tile(tmp_path):
    folder = export_savedmodel(guided_model(), tmp_path / "m", tile_size=32, halo=0)
    with SessionModel(folder) as served:
        runs = [convolutions_run(served, tile(value)) for value in (0.0, 1.0)]
    assert 0 < runs[0] < 0.6 * runs[1]


def convolutions_run(served, tile):
    """How many convolutions the session's tracer saw start."""
    info = served.signatures["tile"]
    metadata = tf.compat.v1.RunMetadata()
    served.session.run(
        info.outputs["probabilities"].name,
        {info.inputs["tile"].name: tile},
        options=tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE),
        run_metadata=metadata,
    )
    counts = Counter(
        node.timeline_label.split(" = ")[-1].split("(")[0]
        for device in metadata.step_stats.dev_stats
        for node in device.node_stats
    )
    return sum(count for op, count in counts.items() if "Conv2D" in op)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_in_the_tiling_loop_every_tile_is_decided_by_itself(tmp_path, batch_size):
    model = guided_model()
    image = np.zeros((70, 100, 1), np.uint8)
    image[:30, 40:] = 255
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32, halo=8, batch_size=batch_size)
    expected = predict_image(model, image, tile_size=32, halo=8)
    assert 0.1 < (expected == 0).mean() < 0.9
    with SessionModel(folder) as served:
        found = served("probabilities", image=image[None])["probabilities"][0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
