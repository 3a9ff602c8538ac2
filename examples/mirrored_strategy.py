"""Train with `tf.distribute.MirroredStrategy` on two GPUs, or without GPU on two CPU devices."""

import keras
import numpy as np
import tensorflow as tf

import keras_unet3p as ku


def strategy() -> tf.distribute.Strategy:
    """All GPUs; without a GPU, the CPU split into two devices."""
    if not tf.config.list_physical_devices("GPU"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
    return ku.training.choose_strategy("mirrored")


def main() -> None:
    mirrored = strategy()
    print(mirrored.num_replicas_in_sync, "replicas")
    pairs = [ku.data.generate_cells((64, 64), seed=n) for n in range(8)]
    cells = ku.data.open_images([image for image, _ in pairs], [labels for _, labels in pairs])
    steps, batch_size = 4, 4  # the global batch, shared among the replicas
    dataset = ku.data.training_pipeline(
        cells, patch_size=64, batch_size=batch_size, seed=0, border_weights={}
    )
    with mirrored.scope():
        model = ku.models.unet(filters=4, depth=3, normalization=cells.normalization())
        model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=ku.losses.HybridLoss())
    history = model.fit(dataset, steps_per_epoch=steps, epochs=2, verbose=2)
    assert np.isfinite(history.history["loss"]).all()


if __name__ == "__main__":
    main()
