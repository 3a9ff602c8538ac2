"""The choice of a `tf.distribute` strategy."""

from __future__ import annotations

import functools
import os

import tensorflow as tf

from keras_unet3p.config import read_tf_config
from keras_unet3p.config.choices import STRATEGIES
from keras_unet3p.errors import InputError


def choose_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Choose how to spread training over devices and machines.

    Args:
        name: "auto" takes `MultiWorkerMirroredStrategy` if the environment variable `TF_CONFIG`
            names several processes, `MirroredStrategy` over the GPUs if there are two or more,
            otherwise TensorFlow's default strategy (one GPU, or the CPU). "multi_worker" demands
            `TF_CONFIG`; it waits for the other processes, and must be chosen before anything else
            runs in TensorFlow. "mirrored" takes `MirroredStrategy` over all GPUs, or over all
            logical CPU devices if there is no GPU. "default" takes one device.

    Returns:
        The strategy. Build and compile the model under `strategy.scope()`. That of several machines
        is the same one in every call.

    Raises:
        ValueError: if the name is another one, if `TF_CONFIG` is missing or damaged, or if
            TensorFlow has begun to work before it was told of several machines.

    Example:
        >>> choose_strategy("default").num_replicas_in_sync
        1
    """
    if name not in STRATEGIES:
        raise InputError(f"strategy must be one of {STRATEGIES}, found {name!r}")
    if name in ("auto", "multi_worker"):
        cluster = read_tf_config()
        if name == "multi_worker" and cluster is None:
            raise InputError(
                "strategy 'multi_worker' needs the environment variable TF_CONFIG, which names the "
                "processes that train together; `unet3p tf-config` makes it under Slurm and "
                "Kubernetes"
            )
        if cluster is not None and (name == "multi_worker" or len(cluster.addresses) > 1):
            return _multi_worker(os.environ["TF_CONFIG"])
    # Not before: this starts TensorFlow, which then can no longer be told of other machines.
    gpus = tf.config.list_logical_devices("GPU")
    if name == "default" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@functools.cache
def _multi_worker(config: str) -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise InputError(
            "strategy: TensorFlow runs already and can no longer be told of other machines; choose "
            "the strategy before anything else"
        ) from error
