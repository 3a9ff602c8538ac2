"""A loss as an end point of the graph."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p.losses import (
    MSSSIM,
    Dice,
    Focal,
    HybridLoss,
    LossLayer,
    WeightedCrossEntropy,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 16, 16, 1)).astype(np.float32)
MASKS = (IMAGES[..., 0] > 0.2).astype(np.int32)
WEIGHTS = RNG.uniform(0.2, 3.0, (6, 16, 16)).astype(np.float32)


def network():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )


def with_loss_inside(loss, weighted):
    image, mask = keras.Input((16, 16, 1)), keras.Input((16, 16), dtype="int32")
    weights = [keras.Input((16, 16))] if weighted else []
    prediction = network()(image)
    output = LossLayer(loss, name="loss")([mask, prediction, *weights])
    model = keras.Model([image, mask, *weights], output)
    model.compile(keras.optimizers.SGD(0.5))
    return model, [IMAGES, MASKS, WEIGHTS][: 3 if weighted else 2]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_trains_like_a_compiled_loss(weighted, reduction):
    loss = WeightedCrossEntropy(reduction=reduction)
    inside, inputs = with_loss_inside(loss, weighted)
    inside.fit(inputs, batch_size=3, epochs=2, shuffle=False, verbose=0)

    outside = network()
    outside.compile(keras.optimizers.SGD(0.5), loss)
    outside.fit(
        IMAGES,
        MASKS,
        sample_weight=WEIGHTS if weighted else None,
        batch_size=3,
        epochs=2,
        shuffle=False,
        verbose=0,
    )
    for ours, theirs in zip(inside.get_weights(), outside.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(
        inside.evaluate(inputs, verbose=0, batch_size=6),
        outside.evaluate(
            IMAGES, MASKS, sample_weight=WEIGHTS if weighted else None, verbose=0, batch_size=6
        ),
        rtol=1e-4,
    )


def test_passes_the_prediction_through():
    model, inputs = with_loss_inside(HybridLoss(), weighted=False)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), network_of(model))


def network_of(model):
    (inner,) = (layer for layer in model.layers if isinstance(layer, keras.Sequential))
    return inner.predict(IMAGES, verbose=0)


def test_saves_and_loads(tmp_path):
    model, inputs = with_loss_inside(HybridLoss([Focal(), MSSSIM(), Dice()]), weighted=True)
    model.fit(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_layer("loss").loss.get_config() == model.get_layer("loss").loss.get_config()
    np.testing.assert_allclose(again.evaluate(inputs, verbose=0), model.evaluate(inputs, verbose=0))


def test_half_precision_policies_leave_masks_and_weights_alone():
    layer = LossLayer(WeightedCrossEntropy(), dtype="mixed_float16")
    prediction = np.full((1, 4, 4, 1), 0.5, np.float16)
    # 100001 is infinite in float16.
    output = layer([np.ones((1, 4, 4)), prediction, np.full((1, 4, 4), 100001.0)])
    assert output.dtype == "float16"
    assert float(layer.losses[0]) == pytest.approx(100001 * np.log(2))


def test_weight_of_the_loss():
    layer = LossLayer(Dice(), loss_weight=3.0)
    layer([MASKS, np.full((6, 16, 16, 1), 0.3, np.float32)])
    expected = Dice()(MASKS, np.full((6, 16, 16, 1), 0.3))
    np.testing.assert_allclose(layer.losses[0], 3 * expected)


def test_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="must be a SegmentationLoss"):
        LossLayer("dice")
    with pytest.raises(ValueError, match="reduction='none'"):
        LossLayer(Dice(reduction="none"))
    with pytest.raises(ValueError, match=r"takes \[mask, prediction\]"):
        LossLayer(Dice())(IMAGES)
