"""Our networks in a TensorFlow 2.15 code base that trains with TensorFlow Addons.

TensorFlow Addons is no longer developed and imports with TensorFlow 2.15 only. With it, its
optimizers, callbacks and metrics work with our models as with any other Keras model.

    pip install "keras_unet3p[addons]" tqdm
    python embed_with_tensorflow_addons.py
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow_addons as tfa

from keras_unet3p import data, losses, models

SIZE = 64


def cells(seeds):
    made = [data.generate_cells(SIZE, seed=seed) for seed in seeds]
    images = np.stack([image for image, _ in made])[..., None].astype("float32") / 255
    return images, np.stack([labels > 0 for _, labels in made]).astype("float32")[..., None]


def build():
    """A model of the existing code base, with its own layers in front of our network."""
    image = keras.Input((SIZE, SIZE, 1))
    flat = tfa.layers.GroupNormalization(groups=1)(image)
    network = models.unet(input_tensor=flat, filters=8, depth=3, batch_norm=True, dropout=0)
    return keras.Model(image, network.features["mask"])


def main():
    keras.utils.set_random_seed(0)
    images, masks = cells(range(16))
    optimizer = tfa.optimizers.MovingAverage(
        tfa.optimizers.SGDW(weight_decay=1e-5, learning_rate=0.1, momentum=0.9)
    )
    f1 = tfa.metrics.F1Score(num_classes=1, threshold=0.5, average="micro", name="f1")

    class PixelF1(keras.metrics.Metric):
        """`tfa.metrics` take rows of classes, so every pixel becomes a row."""

        def update_state(self, y_true, y_pred, sample_weight=None):
            y_true, y_pred = (keras.backend.reshape(y, (-1, 1)) for y in (y_true, y_pred))
            f1.update_state(y_true, y_pred)

        def result(self):
            return f1.result()

        def reset_state(self):
            f1.reset_state()

    progress = tfa.callbacks.TQDMProgressBar(show_epoch_progress=False)
    model = build()
    model.compile(optimizer, losses.HybridLoss(), metrics=[PixelF1(name="f1")])
    model.fit(images, masks, batch_size=4, epochs=6, verbose=0, callbacks=[progress])
    optimizer.assign_average_vars(model.trainable_variables)

    # The ready model, with all its heads, trains with the same optimizers.
    ready = models.unet3plus(
        (SIZE, SIZE, 1), filters=4, deep_supervision=True, classification_guided=True
    )
    ready.compile(
        tfa.optimizers.MovingAverage(tfa.optimizers.SGDW(1e-5, learning_rate=0.05)),
        tfa.losses.SigmoidFocalCrossEntropy(reduction="sum_over_batch_size"),
    )
    ready.fit(images, masks, batch_size=4, epochs=1, verbose=0, callbacks=[progress])
    print("shape of the prediction:", ready.predict(images[:1], verbose=0).shape)


if __name__ == "__main__":
    main()
