"""A loss as a layer of the graph."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.losses.segmentation_loss import SegmentationLoss


@compat.register
class LossLayer(keras.layers.Layer):
    """End point that adds a loss to the model and passes the prediction through.

    Inputs `[mask, prediction]` or `[mask, prediction, weight_map]`, in the shapes that `loss`
    takes; output: the prediction, unchanged. The model is then compiled without a loss:

    ```python
    image, mask = keras.Input((None, None, 1)), keras.Input((None, None), dtype="int32")
    prediction = network(image)
    output = LossLayer(HybridLoss())([mask, prediction])
    training_model = keras.Model([image, mask], output)
    training_model.compile("adam")
    inference_model = keras.Model(image, prediction)
    ```

    Under `tf.distribute` Keras divides added losses by the number of replicas, so the update is
    that of the global batch.

    Args:
        loss: A `SegmentationLoss` with any reduction to a scalar.
        loss_weight: Factor of the loss.
        name: As in `keras.layers.Layer`.

    Example:
        >>> image = keras.Input((16, 16, 1))
        >>> mask = keras.Input((16, 16), dtype="int32")
        >>> prediction = keras.layers.Conv2D(1, 1, activation="sigmoid")(image)
        >>> output = ku.losses.LossLayer(ku.losses.Dice())([mask, prediction])
        >>> model = keras.Model([image, mask], output)
        >>> model.compile("sgd")
    """

    def __init__(self, loss: SegmentationLoss, loss_weight: float = 1.0, **kwargs):
        # Masks and weight maps must not be cast to a half-precision policy's dtype.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        if not isinstance(loss, SegmentationLoss):
            raise InputError(f"loss must be a SegmentationLoss; received {loss!r}.")
        if loss.reduced_to == "none":
            raise InputError("loss must have a reduction to a scalar; received reduction='none'.")
        self.loss = loss
        self.loss_weight = float(loss_weight)

    def call(self, inputs):
        if not isinstance(inputs, list | tuple) or len(inputs) not in (2, 3):
            raise InputError(
                "A loss layer takes [mask, prediction] or [mask, prediction, weight_map]; received "
                f"{inputs!r}."
            )
        mask, prediction = inputs[:2]
        value = self.loss.value(mask, prediction, inputs[2] if len(inputs) == 3 else None)
        if self.loss.reduced_to == "sum":
            value *= float(tf.distribute.get_strategy().num_replicas_in_sync)
        self.add_loss(self.loss_weight * value)
        return tf.identity(prediction)

    def compute_output_shape(self, input_shape):
        return input_shape[1]

    def get_config(self):
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "loss_weight": self.loss_weight,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["loss"] = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**config)
