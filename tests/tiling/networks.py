"""Small encoder-decoders that stand for the project's networks: same strides, margins,
operations."""

from __future__ import annotations

import keras
import numpy as np


def small_network(padding="same", channels=1, classes=1, depth=2, filters=6, seed=7):
    """A U-Net with batch norm whose statistics look trained."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers

    def block(x, width):
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding=padding)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
        return x

    image = x = layers.Input((None, None, channels))
    skips = []
    for level in range(depth):
        x = block(x, filters * 2**level)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = block(x, filters * 2**depth)
    lost = 4
    for level in reversed(range(depth)):
        x = layers.UpSampling2D(interpolation="nearest" if padding == "valid" else "bilinear")(x)
        skip = skips[level]
        lost *= 2
        if padding == "valid":
            skip = layers.Cropping2D(lost // 2)(skip)
            lost += 8
        x = block(layers.Concatenate()([skip, x]), filters * 2**level)
    activation = "sigmoid" if classes == 1 else "softmax"
    head = layers.Conv2D(classes, 1, activation=activation)
    model = keras.Model(image, head(x))
    trained_statistics(model, seed)
    _spread_classes(keras.Model(image, x), head, channels)
    return model


def _spread_classes(features, head, channels):
    """Gives the logits zero mean and unit deviation, so that every class is found somewhere."""
    image = np.random.default_rng(0).random((1, 96, 96, channels), np.float32)
    found = features.predict(image, verbose=0).reshape(-1, features.output_shape[-1])
    kernel = head.get_weights()[0]
    logits = found @ kernel[0, 0]
    deviation = np.maximum(logits.std(0), 1e-3)
    head.set_weights([kernel / deviation, -logits.mean(0) / deviation])


def trained_statistics(model, seed=0):
    """Moves batch-norm weights and biases away from the values that change nothing."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name = getattr(weight, "path", weight.name)
        shape = tuple(weight.shape)
        if "moving_mean" in name or "bias" in name or "beta" in name:
            weight.assign(rng.normal(0, 0.1, shape))
        elif "moving_variance" in name or "gamma" in name:
            weight.assign(rng.uniform(0.5, 1.5, shape))
