"""From a folder of images and a folder of masks to a run folder with trained weights."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_unet3p import data, losses, metrics, models, training
from keras_unet3p._version import __version__
from keras_unet3p.config import LOSSES, TrainingConfig
from keras_unet3p.errors import InputError
from keras_unet3p.files import naming_full_disk, printable, remove_unfinished, write_json
from keras_unet3p.images import MAX_PAGES, MAX_PIXELS, Normalization
from keras_unet3p.workflow.evaluate import earlier_pictures, evaluate_folder
from keras_unet3p.workflow.load_predictor import load_predictor
from keras_unet3p.workflow.run_config import read_run_config

_SMALLEST_EPOCH = 16
_VALIDATION = "validation"
_MOST_CLASSES = 256  # class ids are written as 8-bit PNGs
_OVERLAYS = 3


def train(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    config: TrainingConfig | None = None,
    *,
    out: str | os.PathLike[str],
    validation_images: str | os.PathLike[str] | None = None,
    validation_masks: str | os.PathLike[str] | None = None,
    mask_kind: str = "auto",
    classes: int | Sequence[str] | Sequence[int] | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    console: Console | None = None,
) -> Path:
    """Train a network on a folder of images and masks; the same call continues a killed run.

    Every file is read and checked before training begins. The network's first layer normalises the
    intensities as the training images need it, so that nobody scales images by hand later.

    Args:
        images: folder of images, or a multi-page TIFF.
        masks: folder of masks, paired with the images by stem.
        config: the network, the loss and the training; None is `TrainingConfig()`.
        out: run folder. Afterwards it holds `config.json` (the configuration as used),
            `history.csv`, `best.keras`, `last-epoch-NNNN.keras` (the last two), `tensorboard/` and
            `validation/` (metrics and pictures of the best network on the held-out images).
        validation_images: folder of held-out images; None holds out the share `validation` of
            `images`.
        validation_masks: their masks.
        mask_kind: `"binary"`, `"classes"`, `"instances"`, or `"auto"`, which looks at the masks.
        classes: names of the classes, background first; or their number; or the mask values that
            stand for them, rising, such as `[0, 128, 255]` or ids with a gap. The network's own ids
            are 0 to K-1 in any case. By default found in the masks. At most 256.
        max_pixels: an image of more pixels is refused, before it is decoded; see `images.Limits`.
        max_pages: so is a file of more images.
        console: where to show progress; None writes to the standard error stream.

    Returns:
        The path of the best model, `OUT/best.keras`.

    Raises:
        ValueError: an option or a file is not acceptable; `out` holds a run of another
            configuration, or another process trains in it; or the training has diverged.
        OSError: the disk is full; the message names the file and the space that is left.
    """
    config = config or TrainingConfig()
    if (validation_images is None) != (validation_masks is None):
        raise InputError("validation_images and validation_masks go together; one is missing")
    _check_encoder_weights(config)
    out = Path(out)
    console = console or Console(stderr=True)
    limits: Any = {"max_pixels": max_pixels, "max_pages": max_pages}
    with naming_full_disk(out), training.run_lock(out):
        _sweep(out)
        earlier_pictures(out / _VALIDATION)  # not damaged? Better asked now than after the training
        folder = data.open_folder(images, masks, mask_kind=mask_kind, classes=classes, **limits)
        _check_number_of_classes(folder)
        if validation_images is None or validation_masks is None:
            training_folder, validation_folder = _split(folder, config)
        else:
            training_folder = folder
            validation_folder = data.open_folder(
                validation_images,
                validation_masks,
                mask_kind=folder.mask_kind,
                classes=classes or (folder.num_classes if folder.mask_kind == "classes" else None),
                normalization=folder.normalization(),
                accept_values=True,  # whoever chose these images hears of it
                **limits,
            )
        chosen = {
            "images": _absolute(images),
            "masks": _absolute(masks),
            "validation_images": _absolute(validation_images),
            "validation_masks": _absolute(validation_masks),
            "mask_kind": folder.mask_kind,
            **_names_or_values(classes),
        }
        found = {
            "num_channels": folder.num_channels,
            "num_classes": folder.num_classes,
            "stored_types": folder.stored_types,
            "normalization": training_folder.normalization().to_dict(),
            "training_names": training_folder.names,
            "validation_names": validation_folder.names,
        }
        _keep_configuration(out, {"training": config.to_dict(), "data": {**chosen, **found}})
        values = chosen["class_values"]
        if values:
            console.print(
                f"mask values {', '.join(map(str, values))}: class ids 0 to {len(values) - 1} in "
                "what the network predicts",
                highlight=False,
            )
        return _train(config, training_folder, validation_folder, out, console)


def _check_encoder_weights(config: TrainingConfig) -> None:
    weights = config.encoder_weights
    if weights is not None and weights != "imagenet" and not Path(weights).is_file():
        raise InputError(
            f"encoder_weights: {printable(weights)} is no file; expected one, or 'imagenet'"
        )


def _check_number_of_classes(folder: data.ImageFolder) -> None:
    if folder.num_classes > _MOST_CLASSES:
        raise InputError(
            f"masks: {folder.num_classes} classes; expected at most {_MOST_CLASSES}, as masks "
            "are written with 8 bits (where every value is an object of its own, mask_kind is "
            "'instances')"
        )


def _absolute(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _split(
    folder: data.ImageFolder, config: TrainingConfig
) -> tuple[data.ImageFolder, data.ImageFolder]:
    if len(folder) < 2:
        raise InputError(
            "images: a single image leaves none to be held out for validation; give others as "
            "validation_images and validation_masks (--validation-images and --validation-masks), "
            "or, for a trial, the same one"
        )
    return folder.split(config.validation, config.seed, contiguous=config.contiguous_validation)


def _names_or_values(
    classes: int | Sequence[str] | Sequence[int] | None,
) -> dict[str, list[str] | list[int] | None]:
    """What the configuration keeps of `classes`; their number is kept in any case."""
    if classes is None or isinstance(classes, int | np.integer):
        return {"classes": None, "class_values": None}
    if all(isinstance(item, str) for item in classes):
        return {"classes": [str(item) for item in classes], "class_values": None}
    return {"classes": None, "class_values": [int(item) for item in classes]}


def _train(
    config: TrainingConfig,
    training_folder: data.ImageFolder,
    validation_folder: data.ImageFolder,
    out: Path,
    console: Console,
) -> Path:
    mask_kind, num_channels = training_folder.mask_kind, training_folder.num_channels
    normalization = training_folder.normalization()
    console.print(
        f"{len(training_folder)} training and {len(validation_folder)} validation images, "
        f"{num_channels} channel(s), masks of {mask_kind}",
        highlight=False,
    )

    steps = config.steps_per_epoch or _steps_per_epoch(training_folder, config)
    keras.utils.set_random_seed(config.seed)
    border_weights = None
    if _wants_border_weights(config, mask_kind):
        border_weights = {"class_balance": data.class_balance(training_folder)}

    def training_data(steps_done: int):
        return data.training_pipeline(
            training_folder,
            patch_size=config.patch_size,
            batch_size=config.batch_size,
            steps=None,
            seed=config.seed,
            first_sample=steps_done * config.batch_size,
            augmentation=data.Augmentation() if config.augment else data.Augmentation.none(),
            border_weights=border_weights,
            separation=config.separation,
        )

    def model() -> models.SegmentationModel:
        # The policy is the process's; other models in it keep theirs.
        before = keras.mixed_precision.global_policy()
        keras.mixed_precision.set_global_policy(config.mixed_precision or "float32")
        try:
            return build_model(
                config, num_channels, training_folder.num_classes, normalization, steps
            )
        finally:
            keras.mixed_precision.set_global_policy(before)

    progress = training.EpochProgress(console, epochs=config.epochs, steps_per_epoch=steps)
    try:
        best = training.fit(
            model,
            training_data,
            lambda model: data.validation_pipeline(
                validation_folder,
                patch_size=config.patch_size,
                batch_size=config.batch_size,
                scored_size=config.patch_size - 2 * model.margin,
                separation=config.separation,
                border_weights=border_weights,
                unit_mean=True,
            ),
            out,
            epochs=config.epochs,
            steps_per_epoch=steps,
            strategy=training.choose_strategy(config.strategy),
            patience=config.patience,
            callbacks=[
                progress,
                training.OverlayLog(
                    out / "tensorboard", _overlay_samples(validation_folder, config.patch_size)
                ),
            ],
            report=functools.partial(console.print, style="yellow", markup=False, soft_wrap=True),
            lock=False,
        )
    finally:
        progress.stop()
    evaluate_folder(load_predictor(out), validation_folder, out / _VALIDATION)
    return best


def build_model(
    config: TrainingConfig,
    num_channels: int,
    num_classes: int,
    normalization: Normalization | None,
    steps_per_epoch: int,
) -> models.SegmentationModel:
    """The compiled network of a configuration.

    Raises:
        ValueError: the patches do not fit the network, or the images its encoder's weights.
    """
    if config.encoder_weights and normalization and normalization.value_scale == "raw":
        raise InputError(
            f"encoder_weights {config.encoder_weights!r}: an encoder with given weights takes unit "
            "values, and the images hold others; scale them to 0 to 1, or store them as integers"
        )
    model = getattr(models, config.architecture)(
        input_shape=(None, None, num_channels),
        num_classes=num_classes,
        # An encoder with given weights normalises as it did when they were learnt.
        normalization=None if config.encoder_weights else normalization,
        **config.network_options(),
    )
    if config.patch_size not in model.nearest_sizes(config.patch_size):
        raise InputError(
            f"patch_size {config.patch_size} does not fit this network; the nearest that do are "
            f"{' and '.join(map(str, model.nearest_sizes(config.patch_size)))}"
        )
    decay: Any = keras.optimizers.schedules.CosineDecay(
        config.learning_rate, decay_steps=config.epochs * steps_per_epoch, alpha=0.01
    )
    model.compile(
        optimizer=keras.optimizers.Adam(decay),
        loss=getattr(losses, LOSSES[config.loss])(),
        # Weighted, because a validation tile's weights leave out what mirroring filled. A border
        # weight is the loss's alone.
        weighted_metrics=[
            metrics.Dice(name="dice", use_pixel_weights=False),
            metrics.IoU(name="iou", use_pixel_weights=False),
        ],
    )
    return model


def _keep_configuration(out: Path, used: dict[str, Any]) -> None:
    """Write `config.json`, or see that the run found in `out` has the same one."""
    path = out / "config.json"
    if not path.exists() or not training.Checkpoints(out).saved():
        versions = {
            "keras_unet3p": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "python": sys.version.split()[0],
        }
        write_json(path, {**used, "versions": versions})
        return
    found = read_run_config(out)
    for section, values in used.items():
        for name, value in values.items():
            before = found[section].get(name)
            if not _agree(before, value):
                raise InputError(
                    f"{printable(out)} holds a run with {name} = {before!r}, asked for {value!r}; "
                    "continue it with its own options, or choose another run folder"
                )


def _agree(before: Any, now: Any) -> bool:
    """Whether what a run was begun with is as now; earlier versions wrote fewer entries."""
    if isinstance(before, dict) and isinstance(now, dict):
        return all(_agree(value, now.get(name)) for name, value in before.items())
    return before == now


def _sweep(out: Path) -> None:
    """Remove what a killed training left half written; other things in `out` are not its own."""
    evaluation = out / _VALIDATION
    for folder in (out, evaluation, *(path for path in evaluation.rglob("*") if path.is_dir())):
        remove_unfinished(folder)


def _steps_per_epoch(folder: data.ImageFolder, config: TrainingConfig) -> int:
    pixels = sum(height * width for height, width in folder.shapes)
    return max(_SMALLEST_EPOCH, math.ceil(pixels / (config.patch_size**2 * config.batch_size)))


def _wants_border_weights(config: TrainingConfig, mask_kind: str) -> bool:
    if config.border_weights == "auto":
        return mask_kind == "instances"
    return bool(config.border_weights)


def _overlay_samples(folder: data.ImageFolder, patch_size: int) -> list[tuple]:
    """The first tile of a few validation images: (image, mask) of the patches' size."""
    indices = np.unique(np.linspace(0, len(folder) - 1, _OVERLAYS).astype(int)).tolist()
    samples = []
    for index in indices:
        tiles = data.validation_pipeline(
            folder.subset([index]), patch_size=patch_size, batch_size=1
        )
        image, mask = next(iter(tiles))[:2]
        samples.append((image[0].numpy(), mask[0].numpy()))
    return samples
