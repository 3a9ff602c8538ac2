from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_unet3p.graphs import exact_halo
from keras_unet3p.models import unet, unet3plus
from keras_unet3p.tiling import model_geometry, predict_image


def stack(*layers):
    image = x = keras.layers.Input((None, None, 1))
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def conv(size=3, **options):
    options.setdefault("padding", "same")
    return keras.layers.Conv2D(1, size, **options)


@pytest.mark.parametrize(
    ("layers", "halo"),
    [
        ((conv(1),), 0),
        ((conv(3), conv(5)), 3),
        ((conv(3, dilation_rate=4),), 4),
        ((conv(3, activation="relu"), conv(3, activation="sigmoid")), 2),
        ((conv(3, padding="valid"), conv(3, padding="valid")), 2),
        # One pixel at half size before and after, and one of the upsampling: 2 + 2 + 1, aligned.
        ((keras.layers.MaxPooling2D(), conv(3), keras.layers.UpSampling2D()), 2),
        ((conv(3), keras.layers.MaxPooling2D(), conv(3), keras.layers.UpSampling2D()), 4),
        ((keras.layers.MaxPooling2D(), keras.layers.UpSampling2D(interpolation="bilinear")), 2),
    ],
)
def test_halo_is_the_receptive_field_by_hand(layers, halo):
    assert exact_halo(stack(*layers)) == halo


def test_the_unpadded_unet_needs_its_margin():
    assert exact_halo(unet(filters=2, depth=4, padding="valid")) == 92


@pytest.mark.parametrize("classification_guided", [False, True])
def test_tiles_with_the_exact_halo_equal_the_whole_image_and_smaller_ones_do_not(
    classification_guided,
):
    model = unet3plus(filters=(4, 6, 8), classification_guided=classification_guided)
    if classification_guided:
        model.get_layer("presence_conv").bias.assign([-9.0, 9.0])
    halo = exact_halo(model)
    assert 20 <= halo <= 28
    image = np.random.default_rng(0).random((144, 144, 1), np.float32)
    whole = model(image[None], training=False).numpy()[0]
    inner = np.s_[halo:-halo, halo:-halo]  # the whole image has zeros around it, tiles mirror it
    exact = predict_image(model, image, tile_size=80, halo="exact", blend=0)
    np.testing.assert_allclose(exact[inner], whole[inner], atol=2e-6)
    less = predict_image(model, image, tile_size=80, halo=halo - 4, blend=0)
    assert np.abs(less[inner] - whole[inner]).max() > 2e-6


def test_weights_that_begin_at_zero_count():
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(2, 5, padding="same", kernel_initializer="zeros")(image)
    x = keras.layers.BatchNormalization(gamma_initializer="zeros")(x)
    model = keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(x))
    assert exact_halo(model) == 3


def test_a_network_that_sees_everything_has_no_exact_halo():
    image = keras.layers.Input((None, None, 1))
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    with pytest.raises(ValueError, match="whole image"):
        exact_halo(keras.Model(image, conv(3)(image) + mean))


def test_a_network_of_one_small_size_has_no_exact_halo():
    model = unet3plus((32, 32, 1), filters=(4, 6, 8))
    with pytest.raises(ValueError, match="32x32"):
        exact_halo(model)
    assert model_geometry(model).tile == (32, 32)


def test_halo_is_a_number_or_exact():
    with pytest.raises(ValueError, match="exact"):
        model_geometry(unet(filters=2, depth=1), 64, "wide")
