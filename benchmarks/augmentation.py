"""Throughput of the augmentation against albumentations' and elasticdeform's equivalents.

    pip install albumentations elasticdeform
    python benchmarks/augmentation.py

An image (float32, one channel) and its instance labels (int32) are changed together: the image by
bicubic interpolation, the labels by the nearest pixel, with mirrored borders. All candidates run in
one process with one thread each. They take turns, and the table gives medians. A package that is
not installed or does not import with the installed NumPy is left out. elasticdeform has no
grey-value changes and no flips. albumentations computes its elastic deformation from noise that is
smoothed at every pixel, and interpolates a second time for the rotation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from keras_unet3p.data import Augmentation, generate_cells  # noqa: E402

Change = Callable[[np.ndarray, np.ndarray], object]
_SHAPE = {"rotation": 180.0, "shift": 0.05, "scale": 0.1, "flips": True}
_GREY_OFF = {"gamma": 0.0, "brightness": 0.0, "contrast": 0.0, "noise": 0.0}


def ours() -> dict[str, Change]:
    rng = np.random.default_rng(0)
    elastic = Augmentation.from_dict({**Augmentation.none().to_dict(), "elastic_sigma": 10.0})
    shape = Augmentation(**_SHAPE, **_GREY_OFF)
    everything = Augmentation(**_SHAPE)

    def changed_by(augmentation: Augmentation) -> Change:
        return lambda image, labels: augmentation(image, labels, rng)

    return {
        "elastic": changed_by(elastic),
        "all of shape": changed_by(shape),
        "shape and grey": changed_by(everything),
    }


def of_elasticdeform() -> dict[str, Change]:
    import elasticdeform

    rng = np.random.default_rng(0)
    options = {"sigma": 10, "points": 3, "order": [3, 0], "mode": "mirror"}

    def elastic(image: np.ndarray, labels: np.ndarray):
        return elasticdeform.deform_random_grid([image, labels], **options)

    def shape(image: np.ndarray, labels: np.ndarray):
        return elasticdeform.deform_random_grid(
            [image, labels], rotate=rng.uniform(-180, 180), zoom=rng.uniform(0.9, 1.1), **options
        )

    return {"elastic": elastic, "all of shape": shape}


def of_albumentations() -> dict[str, Change]:
    import albumentations

    moved = {"interpolation": cv2.INTER_CUBIC, "border_mode": cv2.BORDER_REFLECT_101, "p": 1.0}
    elastic = albumentations.ElasticTransform(alpha=300, sigma=30, **moved)
    shape = [
        albumentations.HorizontalFlip(p=0.5),
        albumentations.VerticalFlip(p=0.5),
        albumentations.Affine(
            rotate=(-180, 180), scale=(1 / 1.1, 1.1), translate_percent=(-0.05, 0.05), **moved
        ),
        elastic,
    ]
    grey = [
        albumentations.RandomGamma(gamma_limit=(80, 125), p=1.0),
        albumentations.RandomBrightnessContrast(0.1, 0.25, p=1.0),
        albumentations.GaussNoise(std_range=(0.0, 0.02), p=1.0),
    ]

    def changed_by(steps: list) -> Change:
        composed = albumentations.Compose(steps, seed=0)
        return lambda image, labels: composed(image=image, mask=labels)

    return {
        "elastic": changed_by([elastic]),
        "all of shape": changed_by(shape),
        "shape and grey": changed_by(shape + grey),
    }


def milliseconds(change: Change, image: np.ndarray, labels: np.ndarray) -> float:
    start = time.perf_counter()
    change(image, labels)
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="turns of each candidate")
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)

    candidates = {"ours": ours()}
    for name, make in (("albumentations", of_albumentations), ("elasticdeform", of_elasticdeform)):
        try:
            candidates[name] = make()
        except Exception as error:
            print(f"{name}: left out ({str(error).splitlines()[0]})")

    print(
        f"{'image':>9} {'change':>15}" + "".join(f"{name:>18}" for name in candidates) + "  ratio"
    )
    for size in (256, 512):
        drawn, ids = generate_cells(size, seed=0)
        image, labels = drawn / np.float32(255), ids.astype(np.int32)
        for task in ("elastic", "all of shape", "shape and grey"):
            times: dict[str, list[float]] = {
                name: [] for name, changes in candidates.items() if task in changes
            }
            for _ in range(rounds + 1):
                for name, taken in times.items():
                    taken.append(milliseconds(candidates[name][task], image, labels))
            median = {name: statistics.median(taken[1:]) for name, taken in times.items()}
            cells = "".join(
                f"{median[name]:>15.2f} ms" if name in median else f"{'-':>18}"
                for name in candidates
            )
            others = [value for name, value in median.items() if name != "ours"]
            ratio = f"{min(others) / median['ours']:6.1f}x" if others else ""
            print(f"{size:>4}x{size:<4} {task:>15}{cells} {ratio}")


if __name__ == "__main__":
    main()
