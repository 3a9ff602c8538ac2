"""The choice of a strategy."""

import json

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
    with pytest.raises(ValueError, match=r"'mirrored', 'multi_worker', 'default'.* found 'tpu'"):
        choose_strategy("tpu")


def tf_config(*workers) -> str:
    task = {"type": "worker", "index": 0}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def test_several_machines_must_be_named(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="'multi_worker' needs the environment variable TF_CONFIG"):
        choose_strategy("multi_worker")


def test_several_machines_are_chosen_before_tensorflow_works(monkeypatch):
    tf.config.list_logical_devices()
    monkeypatch.setenv("TF_CONFIG", tf_config("localhost:1", "localhost:2"))
    for name in ("auto", "multi_worker"):
        with pytest.raises(ValueError, match="runs already and can no longer be told of other"):
            choose_strategy(name)
    assert choose_strategy("default") is tf.distribute.get_strategy()


def test_one_process_alone_is_no_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config("localhost:1"))
    if len(tf.config.list_logical_devices("GPU")) < 2:
        assert choose_strategy("auto") is tf.distribute.get_strategy()
