"""UNet 3+'s classification-guided module: what is not in the image is not in the mask."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_unet3p.compat import register
from keras_unet3p.errors import InputError

_ABSENT = -200.0
"""Logit of an absent class: its probability is exactly 0, its cross-entropy still finite."""


@register
class PresenceGate(keras.layers.Layer):
    """Gates a mask by what the classification-guided module found in the image (UNet 3+, 3.3).

    The paper multiplies the mask's *probability* by the module's yes or no. Here mask and presence
    come in as logits z and c, and the gated mask leaves as logits. At inference it is z where the
    class is present (probability above one half), else -200, whose probability is exactly 0.

    Args:
        activation: "sigmoid" or "softmax", what follows on the gated logits. Under softmax, class
            0 is the background and never gated.
        training_gate: what the mask's loss sees in training. "open": z itself, so that mask and
            module each learn from their own loss. "soft": the product sigmoid(z) * sigmoid(c), with
            which the mask's loss teaches the module too. Its logit is
            z - softplus(softplus(z) - c), which never overflows; softmax classes get
            z + log sigmoid(c). Early in training the soft gate may close for good, since that is
            the shortest way to an empty background, and no gradient reaches the mask then.

    Input: [mask logits (B, H, W, K), presence logits]. Presence logits are (B, K), a class each;
    for K = 1 they may be (B, 2), "absent" and "present", and their difference is the gate's logit.
    Output: gated logits (B, H, W, K), in float32 unless another type is asked for.

    Example:
        >>> gate = ku.layers.PresenceGate("sigmoid")
        >>> mask, absent = np.ones((1, 2, 2, 1)), np.array([[5.0, -5.0]])
        >>> gate([mask, absent]).numpy().ravel().tolist()
        [-200.0, -200.0, -200.0, -200.0]
    """

    def __init__(self, activation: str = "sigmoid", training_gate: str = "open", **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        if activation not in ("sigmoid", "softmax"):
            raise InputError(
                f"PresenceGate: activation must be 'sigmoid' or 'softmax', found {activation!r}"
            )
        if training_gate not in ("open", "soft"):
            raise InputError(
                f"PresenceGate: training_gate must be 'open' or 'soft', found {training_gate!r}"
            )
        self.activation = activation
        self.training_gate = training_gate

    def call(self, inputs, training=None):
        mask, presence = inputs
        if training and self.training_gate == "open":
            return mask
        if mask.shape[-1] == 1 and presence.shape[-1] == 2:
            presence = presence[:, 1:] - presence[:, :1]
        presence = presence[:, tf.newaxis, tf.newaxis, :]
        gated: Any
        if training:
            if self.activation == "sigmoid":
                gated = mask - tf.nn.softplus(tf.nn.softplus(mask) - presence)
            else:
                gated = mask + tf.math.log_sigmoid(presence)
        else:
            gated = tf.where(presence > 0, mask, tf.constant(_ABSENT, mask.dtype))
        if self.activation == "softmax":
            gated = tf.concat([mask[..., :1], gated[..., 1:]], axis=-1)
        return gated

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {
            **super().get_config(),
            "activation": self.activation,
            "training_gate": self.training_gate,
        }
