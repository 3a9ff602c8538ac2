"""Does the classification-guided module keep organ-free images free of false positives?

Generated slices: half hold an organ, an ellipse with a bright rim; all hold look-alikes, ellipses
of the same brightness without the rim, in noise. UNet 3+ is trained with and without the module, on
the same images in the same order, once a seed. Prints the foreground pixels that each network finds
on held-out organ-free images, and its Dice on those with an organ.

    python benchmarks/classification_guided.py [--seeds 3] [--steps 400]
"""

from __future__ import annotations

import argparse
import statistics

import cv2
import keras
import numpy as np

import keras_unet3p as ku

SIZE = 96


def slices(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 96, 96, 1) and masks (N, 96, 96); every second one holds an organ."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, SIZE, SIZE, 1), np.float32)
    masks = np.zeros((count, SIZE, SIZE), np.uint8)
    for number in range(count):
        clutter = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), 6)
        image = 0.3 + 0.6 * clutter
        for _ in range(rng.integers(1, 4)):
            image += 0.2 * _ellipse(rng)
        if number % 2 == 0:
            organ = _ellipse(rng)
            rim = organ - cv2.erode(organ, np.ones((5, 5), np.uint8))
            image += 0.2 * organ + 0.15 * rim
            masks[number] = organ
        images[number, ..., 0] = image + rng.normal(0, 0.12, image.shape)
    return images, masks


def _ellipse(rng: np.random.Generator) -> np.ndarray:
    centre = tuple(int(v) for v in rng.integers(20, SIZE - 20, 2))
    axes = tuple(int(v) for v in rng.integers(10, 22, 2))
    shape = np.zeros((SIZE, SIZE), np.uint8)
    return cv2.ellipse(shape, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)


def train_and_judge(guided: bool, seed: int, steps: int) -> tuple[float, float]:
    """Foreground pixels an organ-free image, and Dice over the images with an organ."""
    keras.utils.set_random_seed(seed)
    images, masks = slices(400, seed)
    model = ku.models.unet3plus(
        input_shape=(SIZE, SIZE, 1),
        filters=6,
        deep_supervision=True,
        classification_guided=guided,
        normalization=([images.mean()], [images.std()]),
    )
    decay = keras.optimizers.schedules.CosineDecay(3e-3, steps, alpha=0.01)
    model.compile(keras.optimizers.Adam(decay), loss=ku.losses.HybridLoss())
    epochs = max(1, steps * 8 // len(images))
    model.fit(images, masks, batch_size=8, epochs=epochs, verbose=0)
    images, masks = slices(200, seed + 10_000)
    found = model.predict(images, batch_size=8, verbose=0)[..., 0] > 0.5
    organ = masks.any(axis=(1, 2))
    both = np.count_nonzero(found[organ] & (masks[organ] > 0))
    dice = 2 * both / (np.count_nonzero(found[organ]) + np.count_nonzero(masks[organ]))
    return float(found[~organ].sum(axis=(1, 2)).mean()), dice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    arguments = parser.parse_args()
    figures: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    print("seed  network            false-positive pixels an organ-free image   Dice with an organ")
    for seed in range(arguments.seeds):
        for guided, found in figures.items():
            found.append(train_and_judge(guided, seed, arguments.steps))
            name = "with the module" if guided else "without"
            print(f"{seed:4}  {name:<17}  {found[-1][0]:42.1f}   {found[-1][1]:18.4f}", flush=True)
    without, with_module = (
        statistics.median(false_positives for false_positives, _ in figures[guided])
        for guided in (False, True)
    )
    print(f"median: {without:.1f} without, {with_module:.1f} with the module")


if __name__ == "__main__":
    main()
