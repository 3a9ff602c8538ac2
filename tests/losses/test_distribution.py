"""Two replicas make the update of one device with the whole batch.

Logical devices must be made before TensorFlow starts, so this runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import keras
import numpy as np
import tensorflow as tf

from keras_unet3p import losses, metrics

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
images = rng.normal(size=(8, 16, 16, 1)).astype(np.float32)
masks = (images[..., 0] > 0.3).astype(np.int32)
masks[0] = 0
weights = rng.uniform(0.5, 3.0, (8, 16, 16)).astype(np.float32)


def trained(strategy, loss, inside):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        image = keras.Input((16, 16, 1))
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
        x = keras.layers.Conv2D(1, 1, activation="sigmoid")(x)
        if inside:
            mask, weight = keras.Input((16, 16), dtype="int32"), keras.Input((16, 16))
            x = losses.LossLayer(loss)([mask, x, weight])
            model = keras.Model([image, mask, weight], x)
            model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
            data = [images, masks, weights], None, None
        else:
            model = keras.Model(image, x)
            model.compile(
                keras.optimizers.SGD(1.0),
                loss,
                metrics=[metrics.Dice(), metrics.IoU()],
                jit_compile=False,
            )
            data = images, masks, weights
    x, y, w = data
    history = model.fit(
        x, y, sample_weight=w, batch_size=6, epochs=1, shuffle=False, verbose=0
    ).history
    return model.get_weights(), {key: values[-1] for key, values in history.items()}


one = tf.distribute.get_strategy()
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
for loss in (losses.HybridLoss(), losses.Dice(reduction="sum")):
    for inside in (False, True):
        (expected, expected_logs), (found, logs) = (
            trained(one, loss, inside), trained(two, loss, inside)
        )
        for ours, theirs in zip(found, expected):
            np.testing.assert_allclose(ours, theirs, atol=2e-6, err_msg=loss.name)
        for name in expected_logs:
            if name != "loss" or loss.reduction != "sum":
                np.testing.assert_allclose(
                    logs[name], expected_logs[name], rtol=1e-5, err_msg=f"{loss.name} {name}"
                )
print("equal")
"""


def test_two_replicas_equal_one_device():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("equal")
