from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p import models


def noise(*shape):
    return np.random.default_rng(0).random(shape).astype("float32")


@pytest.mark.parametrize("mode", ["fast", "accurate"])
def test_pruned_networks_are_smaller_and_give_the_heads_masks(mode):
    model = models.unetplusplus(filters=2, depth=3, deep_supervision=True, mode=mode)
    image = noise(1, 16, 24, 1)
    heads = keras.Model(model.input, model.output)(image)
    if mode == "accurate":
        mean = np.mean([heads[f"mask_{level}"] for level in (1, 2, 3)], axis=0)
        np.testing.assert_allclose(heads["mask"], mean, atol=1e-6)
    sizes = []
    for level in (1, 2, 3):
        pruned = models.prune_unetplusplus(model, level)
        last = mode == "fast" and level == 3
        np.testing.assert_allclose(pruned(image), heads["mask" if last else f"mask_{level}"])
        names = {layer.name for layer in pruned.layers}
        assert f"x0_{level}_2_conv" in names
        assert not any(name.startswith((f"x0_{level + 1}", f"e{level + 2}")) for name in names)
        sizes.append(pruned.count_params())
        assert pruned.architecture == "unetplusplus"
        assert "mask" in pruned.features
        assert not {"mask_1", f"x0_{level + 1}"} & {*pruned.features}
        if level == 2:  # what is left is a network that the builder makes, too
            another = models.unetplusplus(**pruned.options)
            assert [w.shape for w in another.weights] == [w.shape for w in pruned.weights]
        pruned.compile("sgd", "binary_crossentropy")
        pruned.evaluate(image, np.zeros((1, 16, 24)), verbose=0)
    assert sizes[0] < sizes[1] / 2 < sizes[2] / 4
    assert sizes[2] <= model.count_params()


def test_refuses():
    model = models.unetplusplus(filters=2, depth=2, deep_supervision=True)
    for level in (0, 3):
        with pytest.raises(ValueError, match=r"level: expected one of \[1, 2\]"):
            models.prune_unetplusplus(model, level)
    with pytest.raises(ValueError, match="deep supervision"):
        models.prune_unetplusplus(models.unetplusplus(filters=2, depth=2), 1)
    with pytest.raises(ValueError, match="accurate"):
        models.unetplusplus(filters=2, depth=2, mode="accurate")
