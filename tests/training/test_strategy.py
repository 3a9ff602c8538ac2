"""The choice of a strategy."""

import pytest
import tensorflow as tf

from keras_unet3p.training import choose_strategy


def test_one_device_needs_no_mirroring():
    assert choose_strategy("default") is tf.distribute.get_strategy()
    if len(tf.config.list_logical_devices("GPU")) < 2:
        assert choose_strategy("auto") is tf.distribute.get_strategy()


def test_mirrored_covers_every_logical_device():
    strategy = choose_strategy("mirrored")
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    assert isinstance(strategy, tf.distribute.MirroredStrategy)
    assert strategy.num_replicas_in_sync == len(devices)


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="'auto', 'mirrored' or 'default', found 'tpu'"):
        choose_strategy("tpu")
