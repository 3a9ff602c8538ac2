"""What the tests of several machines train, on one device and on several."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import keras
import numpy as np

from keras_unet3p import data, losses, metrics, models
from keras_unet3p.data import training_data
from keras_unet3p.training import Workers, choose_strategy
from keras_unet3p.training import fit as run_fit

BATCH, STEPS, EPOCHS = 4, 3, 2
PATCH = 16
HOURS = 1 / 3600


class StepLosses(keras.callbacks.Callback):
    """The mean loss since the begin of the epoch, after every step."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))


def images(count: int = 3) -> data.LabeledImages:
    pairs = [data.generate_cells((28, 20), seed=number) for number in range(count)]
    return data.open_images([image for image, _ in pairs], [ids for _, ids in pairs])


def fit(strategy, **norm) -> dict[str, np.ndarray]:
    """Plain `model.fit`, as a user calls it, on one device or on several machines."""
    opened = images()
    options = {"patch_size": PATCH, "batch_size": BATCH}
    several = Workers(strategy).are_several

    def training(context=None):
        return data.training_pipeline(opened, **options, seed=1, input_context=context)

    def validation(context=None):
        return data.validation_pipeline(opened, **options, input_context=context, unit_mean=True)

    keras.utils.set_random_seed(3)
    with strategy.scope():
        model = models.unet((PATCH, PATCH, 1), filters=2, depth=1, dropout=0, **norm)
        model.compile(
            keras.optimizers.SGD(0.1),
            losses.HybridLoss(),
            metrics=[metrics.Dice(use_pixel_weights=False)],
        )
    found: dict[str, np.ndarray] = {}
    steps = StepLosses()
    history = model.fit(
        strategy.distribute_datasets_from_function(training) if several else training(),
        validation_data=strategy.distribute_datasets_from_function(
            lambda context: validation(context).repeat()
        )
        if several
        else validation(),
        validation_steps=3 if several else None,
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[steps],
    )
    found["steps"] = np.array(steps.losses)
    found |= {name: np.array(values) for name, values in history.history.items()}
    found |= {f"weight_{n}": value for n, value in enumerate(model.get_weights())}
    return found


def fit_by_time(strategy, folder: Path) -> None:
    """A run that ends by the clock, in the middle of an epoch."""
    opened = images()
    options = {"patch_size": PATCH, "batch_size": BATCH}

    def build():
        model = models.unet((PATCH, PATCH, 1), filters=2, depth=1, batch_norm=True)
        model.compile("adam", losses.Dice(), metrics=[metrics.Dice()])
        return model

    run_fit(
        build,
        lambda steps, context: data.training_pipeline(
            opened, **options, first_sample=steps * BATCH, input_context=context
        ),
        lambda model, context: data.validation_pipeline(opened, **options, input_context=context),
        folder,
        hours=HOURS,
        steps_per_epoch=10**6,
        weight_average=0.9,
        strategy=strategy,
    )


def main(out: str) -> None:
    strategy = choose_strategy("multi_worker")
    assert choose_strategy("auto") is strategy
    made, lock, sample = [], threading.Lock(), training_data._Sampler.__call__

    def recording(self, number):
        with lock:
            made.append(int(number))
        return sample(self, number)

    training_data._Sampler.__call__ = recording
    worker = os.environ["WORKER"]
    plain = fit(strategy)
    np.savez(Path(out, f"plain-{worker}.npz"), **plain, made=made)
    synchronized = fit(strategy, batch_norm=True, batch_norm_synchronized=True)
    np.savez(Path(out, f"synchronized-{worker}.npz"), **synchronized)
    fit_by_time(strategy, Path(out, "by_time"))


if __name__ == "__main__":
    main(sys.argv[1])
