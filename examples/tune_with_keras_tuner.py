"""Search for a network and a learning rate with KerasTuner: a builder is its hypermodel.

pip install keras-tuner
"""

import keras
import keras_tuner
import numpy as np

import keras_unet3p as ku


def cells(count: int, first_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 1) in [0, 1] and masks (N, H, W) of 0 and 1."""
    pairs = [ku.data.generate_cells((64, 64), seed=first_seed + n) for n in range(count)]
    images = np.stack([image for image, _ in pairs])[..., np.newaxis] / np.float32(255)
    return images, np.stack([labels > 0 for _, labels in pairs]).astype(np.uint8)


def build(choices: keras_tuner.HyperParameters) -> keras.Model:
    """A compiled network of these choices; the builders take them as they are."""
    builder = {"unet": ku.models.unet, "unet3plus": ku.models.unet3plus}[
        choices.Choice("architecture", ["unet", "unet3plus"])
    ]
    model = builder((None, None, 1), filters=choices.Choice("filters", [4, 8]), depth=2)
    model.compile(
        optimizer=keras.optimizers.Adam(choices.Float("rate", 1e-3, 1e-2, sampling="log")),
        loss=ku.losses.HybridLoss(),
        metrics=[ku.metrics.Dice()],
    )
    return model


def main() -> None:
    tuner = keras_tuner.RandomSearch(
        build,
        objective=keras_tuner.Objective("val_dice", "max"),
        max_trials=3,
        seed=0,
        directory="tuning",
        project_name="cells",
    )
    tuner.search(
        *cells(12, first_seed=0),
        validation_data=cells(4, first_seed=1000),
        batch_size=4,
        epochs=2,
        verbose=0,
    )
    (best,) = tuner.get_best_hyperparameters(1)
    print("best of 3:", best.values)
    (model,) = tuner.get_best_models(1)
    print(model.evaluate(*cells(4, first_seed=2000), verbose=0, return_dict=True))


if __name__ == "__main__":
    main()
