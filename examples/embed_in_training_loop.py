"""UNet 3+ inside a hand-written TensorFlow training loop.

With `input_tensor` a builder builds on a tensor of yours. `features` holds the network's named
tensors, including inner ones. Here a second task (counting the cells) uses UNet 3+'s deepest
features, with its own training loop, losses and loss weights.

    python embed_in_training_loop.py
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_unet3p import data, losses, metrics, models

SIZE, STEPS, BATCH = 64, 40, 4


def build():
    image = keras.Input((SIZE, SIZE, 1))
    # Your own layers can come before the network.
    noisy = keras.layers.GaussianNoise(0.02)(image)
    network = models.unet3plus(input_tensor=noisy, filters=8, deep_supervision=True)
    pooled = keras.layers.GlobalAveragePooling2D()(network.features["e5"])
    count = keras.layers.Dense(1, activation="softplus", name="count")(pooled)
    return keras.Model(image, {**network.output, "count": count})


def batches():
    rng = np.random.default_rng(0)
    cells = [data.generate_cells(SIZE, seed=seed, num_cells=4 + seed % 5) for seed in range(12)]
    images = np.stack([image for image, _ in cells])[..., None].astype("float32") / 255
    masks = np.stack([labels > 0 for _, labels in cells]).astype("float32")[..., None]
    counts = np.array([[labels.max()] for _, labels in cells], "float32")
    while True:
        chosen = rng.choice(len(images), BATCH, replace=False)
        yield images[chosen], masks[chosen], counts[chosen]


def main():
    keras.utils.set_random_seed(0)
    model = build()
    optimizer = keras.optimizers.Adam(2e-3)
    optimizer.build(model.trainable_variables)
    mask_loss, count_loss = losses.Dice(), keras.losses.MeanSquaredError()
    dice = metrics.Dice()

    @tf.function
    def step(images, masks, counts):
        with tf.GradientTape() as tape:
            heads = model(images, training=True)
            loss = mask_loss(masks, heads["mask"])
            for name in ("mask_d2", "mask_d3", "mask_d4", "mask_e5"):
                loss += 0.25 * mask_loss(masks, heads[name])
            loss += 0.01 * count_loss(counts, heads["count"])
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss, heads

    for number, (images, masks, counts) in zip(range(1, STEPS + 1), batches(), strict=False):
        loss, heads = step(images, masks, counts)
        if number > STEPS - 10:
            dice.update_state(masks, heads["mask"])
        if number % 10 == 0:
            print(f"step {number}: loss {float(loss):.3f}")
    print(f"Dice of the last ten steps: {float(dice.result()):.3f}")


if __name__ == "__main__":
    main()
