from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_unet3p import data


class FolderMaker:
    """Writes images and masks below a folder, as NPY unless a writer is given."""

    def __init__(self, root: Path) -> None:
        self.images, self.masks = root / "images", root / "masks"
        self.images.mkdir()
        self.masks.mkdir()

    def add(self, name: str, image: np.ndarray | None, mask: np.ndarray | None) -> None:
        if image is not None:
            np.save(self.images / f"{name}.npy", image)
        if mask is not None:
            np.save(self.masks / f"{name}.npy", mask)

    def open(self, **options) -> data.LabeledImages:
        return data.open_images(self.images, self.masks, **options)


@pytest.fixture
def folder(tmp_path) -> FolderMaker:
    return FolderMaker(tmp_path)


@pytest.fixture(scope="session")
def cells() -> data.LabeledImages:
    """Eight small drawn images of several sizes with instances."""
    sizes = [(64, 80), (96, 64), (72, 72), (80, 100), (64, 64), (100, 90), (33, 47), (64, 96)]
    pairs = [data.generate_cells(size, seed=seed) for seed, size in enumerate(sizes)]
    return data.open_images(
        [image for image, _ in pairs], [labels for _, labels in pairs], mask_kind="instances"
    )
