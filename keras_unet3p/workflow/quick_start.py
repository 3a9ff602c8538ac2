"""The whole way in a few minutes: images, training, export, endpoint, a segmented image."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.text import Text

from keras_unet3p import data, metrics
from keras_unet3p.artifacts import RunFolder
from keras_unet3p.config import TrainingConfig
from keras_unet3p.files import printable
from keras_unet3p.images import pictures
from keras_unet3p.workflow.evaluation import evaluate
from keras_unet3p.workflow.exporting import export
from keras_unet3p.workflow.quickstart_result import QuickstartResult
from keras_unet3p.workflow.training import train

# An odd size on purpose: neither side is a multiple of what the network or the tiler likes.
_LARGE = (1023, 1531)
_HELD_OUT_SEED = 1_000_000


def quickstart(
    out: str | os.PathLike[str] = "quickstart",
    *,
    images: int = 40,
    epochs: int = 6,
    steps_per_epoch: int = 80,
    filters: int = 16,
    patch_size: int = 128,
    init: str | None = "nuclei",
    large_size: tuple[int, int] = _LARGE,
    console: Console | None = None,
) -> QuickstartResult:
    """Make cells, train a small U-Net on them, export it, serve it and segment a large image.

    The network begins with the preset "nuclei", as one does who has a few images of one's own.

    Needs the extra `serving` for the endpoint. Running it again continues where it stopped.

    Args:
        out: folder for everything.
        images: training images; a quarter as many are held out beside them.
        epochs: of training.
        steps_per_epoch: steps per epoch, of eight patches each.
        filters: channels of the network's first stage.
        patch_size: side of the training patches.
        init: the preset that the network begins with, as far as it fits; None for new weights.
        large_size: height and width of the image that is sent to the endpoint.
        console: where to report; None writes to the standard output.

    Returns:
        What was made, and how good it is.

    Example:
        >>> quickstart("quickstart", epochs=6).large_dice  # doctest: +SKIP
        0.94
    """
    from keras_unet3p.endpoint import LocalServer  # noqa: F401 - a missing extra is told at once

    console = console or Console()
    out, run = Path(out), RunFolder(Path(out) / "run")
    began = time.perf_counter()

    console.rule("1  cells: images with instance masks")
    training = _make_cells(out / "data" / "training", images, first_seed=0)
    held_out = _make_cells(out / "data" / "held_out", images // 4, first_seed=_HELD_OUT_SEED)
    where = printable(out / "data")
    console.print(Text(f"{images} training and {images // 4} held-out images in {where}"))

    console.rule("2  training: a small U-Net learns to tell these cells apart")
    config = TrainingConfig(
        # In minutes a U-Net takes more steps than UNet 3+, and steps decide. So does what it begins
        # with: from the preset, AP at 0.5 of the held-out images is 0.89, from new weights 0.76.
        architecture="unet",
        filters=filters,
        batch_norm=True,
        patch_size=patch_size,
        batch_size=8,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        learning_rate=3e-3,
        init=init,
    )
    dice, iou, precision = _train_on_cells(config, training, held_out, run.path, console)

    console.rule("3  export: one SavedModel with decoding and tiling inside")
    version = export(run.path, out / "models" / "cells", tile_size=256)
    console.print(Text(printable(version)))

    console.rule("4  endpoint: a large image as PNG bytes in, a number for every cell out")
    large = _segment_large_image(version.parent, out, large_size, console)

    console.rule(f"done in {time.perf_counter() - began:.0f} s")
    _print_what_to_do_next(run, version.parent, large, console)
    return QuickstartResult(
        run.path,
        version,
        dice,
        iou,
        precision,
        large.dice,
        large.average_precision,
        large.mask,
        large.overlay,
    )


def _train_on_cells(
    config: TrainingConfig, training: Path, held_out: Path, run: Path, console: Console
) -> tuple[float, float, float]:
    """Train; gives Dice, IoU and AP at IoU 0.5 of the held-out images."""
    train(
        training / "images",
        training / "masks",
        validation_images=held_out / "images",
        validation_masks=held_out / "masks",
        out=run,
        console=console,
        config=config,
    )
    report = evaluate(run, held_out / "images", held_out / "masks", out=run / "held_out")
    names = ("dice", "iou", "average_precision@0.5")
    dice, iou, precision = (report.overall[name] or 0.0 for name in names)
    console.print(
        f"held-out images: Dice {dice:.4f}, IoU {iou:.4f}, AP at IoU 0.5 {precision:.4f}",
        highlight=False,
    )
    return dice, iou, precision


class _Large(NamedTuple):
    """What the endpoint made of the large image, as files, and how good it is."""

    mask: Path
    overlay: Path
    dice: float
    average_precision: float


def _segment_large_image(model: Path, out: Path, size: tuple[int, int], console: Console) -> _Large:
    """Send a large image to an endpoint."""
    from keras_unet3p.client import Client
    from keras_unet3p.endpoint import LocalServer

    height, width = size
    large, truth = data.generate_cells((height, width), seed=2 * _HELD_OUT_SEED)
    pictures.write_picture(out / "large.png", large)
    with LocalServer({"cells": model}) as server:
        client = Client(server.url, model="cells")
        sent = time.perf_counter()
        instances = client.predict_instances((out / "large.png").read_bytes())
        seconds = time.perf_counter() - sent
    dice = _dice(truth > 0, instances > 0)
    precision = metrics.object_scores(truth, instances).average_precision
    mask_path, overlay_path = out / "large_mask.png", out / "large_overlay.png"
    pictures.write_picture(mask_path, instances.astype(np.uint16))
    pictures.write_picture(overlay_path, pictures.overlay(large, instances))
    console.print(
        f"{height} x {width} pixels through {server.url} in {seconds:.1f} s: "
        f"{instances.max()} cells of {len(np.unique(truth)) - 1}, Dice {dice:.4f}, "
        f"AP at IoU 0.5 {precision:.4f}",
        highlight=False,
    )
    return _Large(mask_path, overlay_path, dice, precision)


def _print_what_to_do_next(run: RunFolder, model: Path, large: _Large, console: Console) -> None:
    out = large.mask.parent
    lines = (
        f"report      {run.report}",
        f"pictures    {run.path / 'held_out' / 'pictures'}",
        f"instances   {large.mask}",
        f"overlay     {large.overlay}",
        f"metrics     {run.history}",
        "",
        "go on with",
        f"  unet3p serve {model}",
        f"  unet3p predict {run.path} {out / 'large.png'} --out {out / 'predictions'}",
        f"  tensorboard --logdir {run.tensorboard}",
        "  unet3p train --images YOUR_IMAGES --masks YOUR_MASKS --out runs/yours",
    )
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)


def _make_cells(folder: Path, count: int, *, first_seed: int) -> Path:
    """Write `count` generated images and masks where they are not there yet."""
    for number in range(count):
        name = f"cells_{number:03d}.png"
        if (folder / "images" / name).exists() and (folder / "masks" / name).exists():
            continue
        image, labels = data.generate_cells((256, 256), seed=first_seed + number)
        pictures.write_picture(folder / "masks" / name, labels.astype(np.uint16))
        pictures.write_picture(folder / "images" / name, image)
    return folder


def _dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    both = np.count_nonzero(truth & prediction)
    return 2.0 * both / max(np.count_nonzero(truth) + np.count_nonzero(prediction), 1)
