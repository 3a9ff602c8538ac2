from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import export, models, tiling


def member(seed, builder=models.unet, size=None, **options):
    keras.utils.set_random_seed(seed)
    options = {"num_classes": 1, "filters": 4, "depth": 2, **options}
    normalization = {"mean": [0.2 + 0.1 * seed], "std": [0.3]}
    return builder((size, size, 1), normalization=normalization, **options)


@pytest.fixture
def image():
    return np.random.default_rng(0).random((1, 32, 48, 1), "float32")


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_mean_of_members(image, activation):
    several = {"num_classes": 3, "classifier_activation": activation}
    members = [member(seed, **several) for seed in range(3)]
    together = models.ensemble(members)
    expected = np.mean([m(image).numpy() for m in members], axis=0)
    np.testing.assert_allclose(together(image), expected, atol=1e-6)
    assert np.abs(members[0](image) - members[1](image)).max() > 1e-3  # the members do differ
    assert together.classifier_activation == activation
    assert together.facts == members[0].facts
    names = [layer.name for layer in together.layers]
    assert len(set(names)) == len(names)


def test_side_heads_are_left_out_and_architectures_may_differ(image):
    deep = member(1, models.unet3plus, deep_supervision=True)
    plain = member(2, models.unet3plus, filters=6)
    together = models.ensemble([deep, plain])
    expected = (deep(image).numpy() + plain(image).numpy()) / 2
    np.testing.assert_allclose(together(image), expected, atol=1e-6)
    assert tf.is_tensor(together(image, training=True))


def test_members_are_copied(image):
    members = [member(seed) for seed in range(2)]
    together = models.ensemble(members)
    before = together(image).numpy()
    members[0].set_weights([0 * weight for weight in members[0].get_weights()])
    np.testing.assert_array_equal(together(image), before)


def test_saved_and_loaded(image, tmp_path):
    together = models.ensemble([member(seed) for seed in range(2)])
    together.save(tmp_path / "ensemble.keras")
    loaded = keras.models.load_model(tmp_path / "ensemble.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(image), together(image), atol=1e-6)
    assert isinstance(loaded, models.SegmentationModel)


def test_tiled_and_exported(tmp_path):
    members = [member(seed) for seed in range(2)]
    together = models.ensemble(members)
    large = np.random.default_rng(1).random((70, 90, 1), "float32")
    one = [tiling.predict_image(m, large, tile_size=32, kind="probabilities") for m in members]
    tiled = tiling.predict_image(together, large, tile_size=32, kind="probabilities")
    np.testing.assert_allclose(tiled, np.mean(one, axis=0), atol=1e-5)
    version = export.export_savedmodel(
        together, tmp_path / "cells", tile_size=32, input_dtype="float32"
    )
    served = tf.saved_model.load(str(version)).signatures["probabilities"]
    found = served(image=tf.constant(large[None]))["probabilities"][0]
    np.testing.assert_allclose(found, tiled, atol=1e-5)


def test_refused():
    with pytest.raises(ValueError, match="members: found none"):
        models.ensemble([])
    with pytest.raises(ValueError, match="member 2 is Sequential"):
        models.ensemble([member(0), keras.Sequential()])
    with pytest.raises(ValueError, match="number of classes of member 2 is 3; expected 1"):
        models.ensemble([member(0), member(1, num_classes=3)])
    with pytest.raises(ValueError, match="input of member 2"):
        models.ensemble([member(0), member(1, size=32)])
    with pytest.raises(ValueError, match="activation None"):
        models.ensemble([member(0, classifier_activation=None)])


def test_stretched_alike_or_refused():
    def stretched(seed, percentiles):
        normalization = {"mean": [0.4 + 0.1 * seed], "std": [0.3], "percentiles": percentiles}
        return models.unet((None, None, 1), 1, filters=4, depth=2, normalization=normalization)

    members = [stretched(seed, (1, 99)) for seed in range(2)]
    together = models.ensemble(members)
    large = 5 + 20 * np.random.default_rng(1).random((70, 90, 1), "float32")
    one = [tiling.predict_image(m, large, tile_size=32, kind="probabilities") for m in members]
    tiled = tiling.predict_image(together, large, tile_size=32, kind="probabilities")
    np.testing.assert_allclose(tiled, np.mean(one, axis=0), atol=1e-5)
    with pytest.raises(ValueError, match="percentiles of member 2"):
        models.ensemble([members[0], stretched(1, (2, 98))])
