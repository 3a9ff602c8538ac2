"""Does the classification-guided module prevent false positives on images without the organ?

The images are generated slices of a body. Half of them show the abdomen with an organ, half the
chest with a heart that looks exactly like the organ. Only a lung elsewhere in the image tells the
two apart, so a decision needs the whole image, as in the module. UNet 3+ is trained with and
without the module on the same images in the same order, once per seed and loss. The script prints
the foreground pixels that each network finds on held-out images without the organ, and its Dice on
those with it.

    python benchmarks/classification_guided.py [--losses Dice WeightedCrossEntropy HybridLoss]
        [--seeds 3] [--steps 300]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

import cv2
import keras
import numpy as np

import keras_unet3p as ku

SIZE = 128


def slices(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 128, 128, 1) and masks (N, 128, 128); every second one holds an organ."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, SIZE, SIZE, 1), np.float32)
    masks = np.zeros((count, SIZE, SIZE), np.uint8)

    def sizes(*ranges: tuple[float, float]) -> np.ndarray:
        return SIZE * np.array([rng.uniform(*bounds) for bounds in ranges])

    for number in range(count):
        middle = SIZE / 2 + sizes((-0.04, 0.04), (-0.04, 0.04))
        image = 0.2 + 0.3 * _ellipse(middle, sizes((0.4, 0.46), (0.34, 0.4)))
        clutter = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), 5)
        image += 0.25 * clutter
        side = rng.choice([-1, 1])
        centre = middle + sizes((0.08, 0.2), (-0.15, 0.1)) * [side, 1]
        organ = _ellipse(centre, sizes((0.1, 0.16), (0.1, 0.16)), rng.uniform(0, 180))
        image += 0.15 * organ
        if number % 2 == 0:
            masks[number] = organ
        else:
            centre = middle + sizes((0.18, 0.24), (-0.1, 0.1)) * [-side, 1]
            lung = _ellipse(centre, sizes((0.06, 0.1), (0.12, 0.18)), rng.uniform(-20, 20))
            image -= 0.1 * lung * (1 - organ)
        images[number, ..., 0] = image + rng.normal(0, 0.2, image.shape)
    return images, masks


def _ellipse(centre: np.ndarray, axes: np.ndarray, angle: float = 0.0) -> np.ndarray:
    shape = np.zeros((SIZE, SIZE), np.uint8)
    middle, half = (tuple(int(v) for v in pair) for pair in (centre, axes))
    return cv2.ellipse(shape, middle, half, angle, 0, 360, 1, -1)


def train_and_judge(loss: str, guided: bool, seed: int, steps: int) -> tuple[float, float]:
    """Foreground pixels per image without the organ, and Dice over the images with it."""
    keras.utils.set_random_seed(seed)
    images, masks = slices(8 * steps, seed)  # each is seen once
    model = ku.models.unet3plus(
        input_shape=(SIZE, SIZE, 1),
        filters=6,
        deep_supervision=True,
        classification_guided=guided,
        normalization=([images.mean()], [images.std()]),
    )
    decay = keras.optimizers.schedules.CosineDecay(3e-3, steps, alpha=0.01)
    model.compile(keras.optimizers.Adam(decay), loss=getattr(ku.losses, loss)())
    model.fit(images, masks, batch_size=8, verbose=0)
    images, masks = slices(200, seed + 10_000)
    found = model.predict(images, batch_size=8, verbose=0)[..., 0] >= 0.5
    organ = masks.any(axis=(1, 2))
    both = np.count_nonzero(found[organ] & (masks[organ] > 0))
    dice = 2 * both / (np.count_nonzero(found[organ]) + np.count_nonzero(masks[organ]))
    return float(found[~organ].sum(axis=(1, 2)).mean()), dice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", nargs="+", default=["Dice", "WeightedCrossEntropy"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    print("| loss | seed | false-positive pixels without, with the module | Dice without, with |")
    print("| --- | --- | --- | --- |")
    for loss in arguments.losses:
        rows = []
        for seed in range(arguments.seeds):
            without, guided = (
                train_and_judge(loss, module, seed, arguments.steps) for module in (False, True)
            )
            rows.append((without[0], guided[0], without[1], guided[1]))
            print(_row(loss, str(seed), rows[-1]), flush=True)
        print(
            _row(loss, "median", [statistics.median(column) for column in zip(*rows, strict=True)])
        )


def _row(loss: str, seed: str, figures: Sequence[float]) -> str:
    return "| {} | {} | {:.1f}, {:.1f} | {:.3f}, {:.3f} |".format(loss, seed, *figures)


if __name__ == "__main__":
    main()
