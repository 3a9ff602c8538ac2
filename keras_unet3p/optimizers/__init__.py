"""Optimizers: what Keras lacks on either of its versions."""

from keras_unet3p.optimizers.adam_w import AdamW

__all__ = ["AdamW"]
