"""The `tf.distribute` strategy that fits the machine."""

from __future__ import annotations

import tensorflow as tf

from keras_unet3p.errors import InputError


def choose_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Choose how to spread training over the machine's devices.

    Args:
        name: `"auto"`: `MirroredStrategy` over the GPUs where there are two or more, otherwise
            TensorFlow's default strategy (one GPU, or the CPU). `"mirrored"`: `MirroredStrategy`
            over all GPUs, or over all logical CPU devices where there is no GPU. `"default"`:
            one device.

    Returns:
        The strategy; build and compile the model under `strategy.scope()`.

    Raises:
        ValueError: another name.

    Example:
        >>> strategy = ku.training.choose_strategy("default")
        >>> strategy.num_replicas_in_sync
        1
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "default" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    if name in ("auto", "mirrored"):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    raise InputError(f"strategy must be 'auto', 'mirrored' or 'default', found {name!r}")
