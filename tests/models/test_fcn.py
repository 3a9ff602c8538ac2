from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import models
from keras_unet3p.models.architectures.fcn import BilinearKernel


def small(stride, classes=2):
    return models.fcn(
        (None, None, 1), classes, filters=2, encoder="plain", dense_filters=3, stride=stride
    )


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_any_size(stride):
    model = small(stride)
    assert (model.margin, model.size_divisor, model.minimum_size) == (0, 1, 1)
    for height, width in ((1, 1), (33, 64), (45, 7)):
        assert model(np.ones((1, height, width, 1), "float32")).shape == (1, height, width, 2)
    names = {layer.name for layer in model.layers}
    assert ("scores16_conv" in names, "scores8_conv" in names) == (stride < 32, stride < 16)
    with pytest.raises(ValueError, match="stride"):
        small(4)


@pytest.mark.parametrize("factor", [2, 8])
def test_upsampling_starts_bilinear(factor):
    x = np.random.default_rng(0).random((1, 6, 6, 2)).astype("float32")
    kernel = BilinearKernel()((2 * factor, 2 * factor, 2, 2))
    size = 6 * factor
    found = tf.nn.conv2d_transpose(x, kernel, (1, size, size, 2), factor, "SAME")
    expected = tf.image.resize(x, (size, size))
    inner = np.s_[:, factor:-factor, factor:-factor]
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-6)


def test_vgg16_has_the_papers_size():
    model = models.fcn((None, None, 3), 21, stride=32, kernel_initializer="zeros")
    dense = 7 * 7 * 512 * 4096 + 4096 + 4096 * 4096 + 4096
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count == 14_714_688 + dense + 4096 * 21 + 21 + 64 * 64 * 21 * 21
