"""From unit intensities to what an ImageNet network was trained on."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError

# mode -> (reverse the channels, scale, subtract, divide), from keras.applications.
_MODES = {
    "caffe": (True, 255.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "tf": (False, 2.0, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "torch": (False, 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "efficientnet_v2": (False, 255.0 / 128.0, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
}


@register
class ImageNetInput(keras.layers.Layer):
    """Turns unit intensities into the input of a `keras.applications` network.

    Args:
        mode: the network's own preprocessing: "caffe" (VGG, ResNet), "tf" (MobileNetV2), "torch"
            (ConvNeXt, EfficientNetV2-B), "efficientnet_v2" (EfficientNetV2-S), or None, which only
            repeats grey.

    Computed in float32.

    Input: (B, H, W, 1) or (B, H, W, 3), RGB, values in [0, 1], of any numeric type. Output:
    (B, H, W, 3) in the layer's compute type.

    Example:
        >>> ku.layers.ImageNetInput("tf")(np.full((1, 1, 1, 1), 1.0)).numpy().ravel().tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, mode: str | None, **kwargs):
        kwargs.setdefault("autocast", False)  # images may be finer than half precision
        super().__init__(**kwargs)
        if mode is not None and mode not in _MODES:
            raise InputError(
                f"ImageNetInput: mode must be one of {sorted(_MODES)} or None, found {mode!r}"
            )
        self.mode = mode

    def call(self, inputs):
        x = tf.cast(inputs, tf.float32)
        if x.shape[-1] == 1:
            x = tf.repeat(x, 3, axis=-1)
        if self.mode is not None:
            reverse, scale, mean, std = _MODES[self.mode]
            if reverse:
                x = x[..., ::-1]
            x = (x * scale - tf.constant(mean)) / tf.constant(std)
        return tf.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:3], 3)

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
