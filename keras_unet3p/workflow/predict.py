"""Masks of images, written as files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_unet3p import data, pictures
from keras_unet3p.workflow.load_predictor import load_predictor


def predict(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    overlays: bool = True,
    tile_size: int = 512,
    max_pixels: int = data.MAX_PIXELS,
    max_pages: int = data.MAX_PAGES,
    accept_values: bool = False,
) -> list[Path]:
    """Segment an image file or every image of a folder, at any size.

    Args:
        model: run folder, `.keras` file, exported model, or endpoint URL; see `load_predictor`.
        images: an image file, a multi-page TIFF, or a folder of them.
        out: folder for the masks: `NAME.png` with class ids, or 0 and 255 where there is one class.
        overlays: write `overlays/NAME.png` too.
        tile_size: side of the tiles, pixels.
        max_pixels: an image of more pixels is refused, before it is decoded; see `data.Limits`.
        max_pages: so is a file of more images.
        accept_values: warn of images whose stored type or range clearly is not that of the training
            images, instead of refusing them; see `data.check_values`.

    Returns:
        The paths of the masks.

    Raises:
        ValueError: a file cannot be read, its values or its channels do not fit the model, or a
            mask would take its place.
    """
    out = Path(out)
    files = data.list_images(images)
    _check_nothing_is_overwritten(files, out)
    predictor = load_predictor(model, tile_size=tile_size)
    stacks = {
        stem: data.ImageFile(
            file,
            value_scale=predictor.normalization.value_scale,
            max_pixels=max_pixels,
            max_pages=max_pages,
        )
        for stem, file in files.items()
    }
    data.check_files(stacks.values(), predictor.normalization, accept_values=accept_values)
    written = []
    for stem, stack in stacks.items():
        for number, image in enumerate(stack):
            name = stem if len(stack) == 1 else f"{stem}_{number:03d}"
            _check_channels(stack.path, image, predictor.num_channels)
            labels = predictor.labels(image)
            # As 0 and 255, which viewers show and which `train` reads again.
            mask = labels * np.uint8(255) if predictor.num_classes == 1 else labels
            pictures.write_picture(out / f"{name}.png", mask)
            if overlays:
                overlay = pictures.overlay(image, labels)
                pictures.write_picture(out / "overlays" / f"{name}.png", overlay)
            written.append(out / f"{name}.png")
    return written


def _check_nothing_is_overwritten(files: Mapping[str, Path], out: Path) -> None:
    folders = {folder.resolve() for folder in (out, out / "overlays")}
    for file in files.values():
        if file.suffix.lower() == ".png" and file.resolve().parent in folders:
            raise ValueError(f"out: a mask in {out} would take the place of the image {file}")


def _check_channels(file: Path, image: np.ndarray, expected: int | None) -> None:
    if expected is not None and image.shape[-1] != expected:
        raise ValueError(
            f"{file}: {image.shape[-1]} channels; the model was trained on images of {expected}"
        )
