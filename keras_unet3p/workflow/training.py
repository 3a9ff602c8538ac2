"""From a folder of images and a folder of masks to a run folder with trained weights."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_unet3p import data, models, postprocessing, training
from keras_unet3p._version import __version__
from keras_unet3p.artifacts import DataRecord, ModelSource, RunFolder, RunRecord
from keras_unet3p.config import CONTRAST_SPREAD, PERCENTILES, ReadingChoices, TrainingConfig
from keras_unet3p.errors import InputError
from keras_unet3p.files import naming_full_disk, printable, remove_unfinished, sha256_of
from keras_unet3p.images import MAX_PAGES, MAX_PIXELS
from keras_unet3p.images.remote_files import is_remote
from keras_unet3p.progress import Progress
from keras_unet3p.workflow.chosen_callbacks import check_callbacks, make_callbacks
from keras_unet3p.workflow.evaluation import earlier_pictures
from keras_unet3p.workflow.results import write_results
from keras_unet3p.workflow.starting_point import StartingPoint
from keras_unet3p.workflow.training_job import TrainingJob
from keras_unet3p.workflow.tuning import fitting_measure

_MOST_NAMED = 8  # images in a warning

_MOST_CLASSES = 256  # class ids are written as 8-bit PNGs


def train(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None = None,
    config: TrainingConfig | None = None,
    *,
    out: str | os.PathLike[str],
    validation_images: str | os.PathLike[str] | None = None,
    validation_masks: str | os.PathLike[str] | None = None,
    mask_kind: str = "auto",
    classes: int | Sequence[str] | Sequence[int] | None = None,
    ignore: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    reading: ReadingChoices | None = None,
    console: Console | None = None,
) -> Path:
    """Train a network on a folder of images and masks; the same call continues a killed run.

    A finished run goes on if `epochs` or `hours` of the configuration are larger than before.

    On several machines, which `TF_CONFIG` names, each makes the same call with the same files. The
    first of them writes the run folder, which all must see if a run is to be continued. If one of
    them ends, the others end too, and the same call on all continues the run.

    Every file is read and checked before training begins. The network's first layer normalises the
    intensities as the training images need it, so that nobody scales images by hand later.

    Args:
        images: folder of images, a multi-page TIFF, a pattern, an address, or a table of pairs,
            whose rows of the split val are held out and those of test left alone; see
            `data.open_images`.
        masks: folder of masks, paired with the images by stem; None for a table.
        config: the network, the loss and the training; None is `TrainingConfig()`. With `init` the
            run begins with the weights of another network, where they fit (`models.take_weights`),
            and has its architecture unless another is given, which is refused. The images are
            normalised by their own rule; with `freeze` by the other network's, behind which the
            frozen layers have learnt; and an encoder that normalises by itself goes on so. A
            continued run does not load that network again. The `callbacks` are made anew for
            every part of a run that is continued, and may be others then.
        out: run folder. Afterwards it holds `config.json` (the configuration as used),
            `history.csv`, `best.keras`, `last-epoch-NNNN.keras` (the last two), `tensorboard/`,
            `postprocessing.json` (what follows the best network, chosen on the held-out images)
            `validation/` (metrics and pictures of its masks of them) and `report.html` (all of it
            on one page, to be sent to others).
        validation_images: folder of held-out images; None holds out the share `validation` of
            `images`.
        validation_masks: their masks.
        mask_kind: `"binary"`, `"classes"`, `"instances"`, or `"auto"`, which looks at the masks.
        classes: names of the classes, background first; or their number; or the mask values that
            stand for them, rising, such as `[0, 128, 255]` or ids with a gap. The network's own ids
            are 0 to K-1 in any case. By default found in the masks. At most 256.
        ignore: the mask value of unlabelled pixels, usually 255: they are left out of sampling,
            loss and metrics, so that a share of the pixels is enough to train on. See
            `data.open_images`. `evaluate` takes the same by default.
        max_pixels: an image of more pixels is refused, before it is decoded; see `images.Limits`.
        max_pages: so is a file of more images.
        reading: what of the files is read: level, channels, axes, slices and their neighbours; None
            as by default. `predict` and `evaluate` read the same by default.
        console: where to show progress; None writes to the standard error stream.

    Returns:
        The path of the best model, `OUT/best.keras`.

    Raises:
        ValueError: an option or a file is not acceptable; `out` holds a run of another
            configuration, or another process trains in it; or the training has diverged.
        RuntimeError: one of the configuration's callbacks has failed; the message names it.
        WorkerLostError: another machine of a training on several has ended.
        OSError: the disk is full; the message names the file and the space that is left.

    Example:
        >>> config = TrainingConfig(architecture="unet", epochs=10)
        >>> train("images", "masks", config, out="runs/cells")  # doctest: +SKIP
        PosixPath('runs/cells/best.keras')
    """
    config = config or TrainingConfig()
    needs_masks = validation_images is not None and not data.is_image_list(validation_images)
    if needs_masks != (validation_masks is not None):
        raise InputError("validation_images and validation_masks go together; one is missing")
    if config.folds is not None and config.fold is None:
        raise InputError("fold: which of the folds? `cross_validate` trains all of them")
    if config.folds is not None and validation_images is not None:
        raise InputError("validation_images: folds hold out images of their own; leave one out")
    _check_encoder_weights(config)
    check_callbacks(config.callbacks)
    console = console or Console(stderr=True)
    given = _Given(images, masks, validation_images, validation_masks, mask_kind, classes, ignore)
    given = given._replace(reading=reading or ReadingChoices())
    return _run(given, config, out, {"max_pixels": max_pixels, "max_pages": max_pages}, console)


def train_fold(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None,
    config: TrainingConfig,
    *,
    out: str | os.PathLike[str],
    mask_kind: str,
    classes: int | Sequence[str] | Sequence[int] | None,
    ignore: int | None,
    max_pixels: int,
    max_pages: int,
    reading: ReadingChoices | None,
    console: Console,
) -> Path:
    """`train` of one fold of images that `open_for_training` has looked through already.

    Example:
        >>> train_fold("images", "masks", config, out="cv/fold-1", **of_data)  # doctest: +SKIP
    """
    given = _Given(images, masks, None, None, mask_kind, classes, ignore, is_checked=True)
    given = given._replace(reading=reading or ReadingChoices())
    return _run(given, config, out, {"max_pixels": max_pixels, "max_pages": max_pages}, console)


def _run(
    given: _Given,
    config: TrainingConfig,
    out: str | os.PathLike[str],
    limits: dict[str, int],
    console: Console,
) -> Path:
    # Before all else: once TensorFlow works, it can no longer be told of other machines.
    strategy = training.choose_strategy(config.strategy)
    workers = training.Workers(strategy)
    if not workers.is_chief:
        console = Console(stderr=True, quiet=True)
    with (
        naming_full_disk(out),
        workers.noticing_losses(),
        workers.folder(out) as folder,
    ):
        run = RunFolder(folder)
        _sweep(run)
        earlier_pictures(run.validation)  # not damaged? Better asked now than after the training
        start = StartingPoint.of(config, run)
        config = start.config
        opened = _open_images(given, start, {**limits, "progress": console})
        fitting_measure(config.measure, opened[0].mask_kind)  # not fitting? Better told now
        record = _record(given, config, *opened)
        _keep_record(run, record)
        values = record.data.class_values
        if values:
            console.print(
                f"mask values {', '.join(map(str, values))}: class ids 0 to {len(values) - 1} in "
                "what the network predicts",
                highlight=False,
            )
        start = dataclasses.replace(start, on_taken=_reporting(start, record, run, console))
        _train(TrainingJob(config, *opened, start), run, strategy, console)
        if workers.is_chief:
            write_results(run, config, opened[1], console)
    return RunFolder(out).best


class _Given(NamedTuple):
    """What the caller said of the data."""

    images: str | os.PathLike[str]
    masks: str | os.PathLike[str] | None
    validation_images: str | os.PathLike[str] | None
    validation_masks: str | os.PathLike[str] | None
    mask_kind: str
    classes: int | Sequence[str] | Sequence[int] | None
    ignore: int | None
    reading: ReadingChoices = ReadingChoices()
    is_checked: bool = False  # for what looks wrong


def _check_encoder_weights(config: TrainingConfig) -> None:
    weights = config.encoder_weights
    if weights is not None and weights != "imagenet" and not Path(weights).is_file():
        raise InputError(
            f"encoder_weights: {printable(weights)} is no file; expected one, or 'imagenet'"
        )


def _check_number_of_classes(opened: data.LabeledImages) -> None:
    if opened.num_classes > _MOST_CLASSES:
        raise InputError(
            f"masks: {opened.num_classes} classes; expected at most {_MOST_CLASSES}, as masks "
            "are written with 8 bits (where every value is an object of its own, mask_kind is "
            "'instances')"
        )


def open_for_training(
    images: str | os.PathLike[str],
    masks: str | os.PathLike[str] | None,
    config: TrainingConfig,
    *,
    mask_kind: str,
    classes: int | Sequence[str] | Sequence[int] | None,
    ignore: int | None,
    max_pixels: int,
    max_pages: int,
    reading: ReadingChoices | None = None,
    progress: Progress = False,
) -> tuple[data.LabeledImages, str]:
    """All images as `train` opens them before it holds some out, and their normalisation.

    Returns:
        The images, and `"image"` or `"set"`: whether each is normalised by itself.

    Raises:
        ValueError: as `train`.

    Example:
        >>> open_for_training("images", "masks", TrainingConfig(), **of_data)  # doctest: +SKIP
    """
    given = _Given(images, masks, None, None, mask_kind, classes, ignore)
    given = given._replace(reading=reading or ReadingChoices())
    start = StartingPoint(config)
    options = {"max_pixels": max_pixels, "max_pages": max_pages, "progress": progress}
    opened = _open(given, start, options)
    return opened, "image" if opened.percentiles is not None else "set"


def _open(given: _Given, start: StartingPoint, options: Any) -> data.LabeledImages:
    opened = data.open_images(
        given.images,
        given.masks,
        splits=("train", "val"),
        mask_kind=given.mask_kind,
        classes=given.classes,
        ignore=given.ignore,
        normalization=start.normalization,
        accept_values=True,  # of another set than the frozen layers', which a warning tells
        reading=given.reading,
        **options,
    )
    _check_number_of_classes(opened)
    if not given.is_checked:
        _heed(data.find_suspicions(opened))
    return opened.stretched_by(PERCENTILES) if _normalizes_each_image(opened, start) else opened


def _heed(suspicions: list[data.Suspicion]) -> None:
    """Refuse a set of which nothing can be learnt, and warn of what looks wrong with others."""
    for suspicion in suspicions:
        if suspicion.is_error:
            raise InputError(f"images and masks: {suspicion.text}")
        if suspicion.kind == "empty mask":  # usual in many sets
            continue
        names = ", ".join(map(printable, suspicion.names[:_MOST_NAMED]))
        more = len(suspicion.names) - _MOST_NAMED
        warnings.warn(
            f"{suspicion.text}: {names}" + (f" and {more} more" if more > 0 else ""),
            stacklevel=4,
        )


def _open_images(
    given: _Given, start: StartingPoint, options: Any
) -> tuple[data.LabeledImages, data.LabeledImages]:
    """The images to train on and those that are held out."""
    config, opened = start.config, _open(given, start, options)
    if opened.has_own_split and given.validation_images is not None:
        raise InputError("validation_images: the table holds out rows of its own; leave one out")
    if given.validation_images is None:
        return _split(opened, config)
    several = opened.num_classes if opened.mask_kind == "classes" else None
    held_out = data.open_images(
        given.validation_images,
        given.validation_masks,
        mask_kind=opened.mask_kind,
        classes=given.classes or several,
        ignore=given.ignore,
        normalization=opened.normalization(),
        accept_values=True,  # whoever chose these images hears of it
        reading=given.reading,
        **options,
    )
    return opened, held_out


def _normalizes_each_image(opened: data.LabeledImages, start: StartingPoint) -> bool:
    config = start.config
    if config.normalization == "image" and start.normalizes_itself:
        raise InputError(
            "normalization: the encoder of init's network normalises as it did when its weights "
            "were learnt; expected 'set'"
        )
    if config.normalization != "auto":
        return config.normalization == "image"
    can_be = config.architecture != "fcn" and config.encoder_weights is None
    can_be = can_be and not start.normalizes_itself
    return can_be and opened.contrast_spread > CONTRAST_SPREAD


def _split(
    opened: data.LabeledImages, config: TrainingConfig
) -> tuple[data.LabeledImages, data.LabeledImages]:
    if len(opened) < 2:
        raise InputError(
            "images: a single image leaves none to be held out for validation; give others as "
            "validation_images and validation_masks (--validation-images and --validation-masks), "
            "or, for a trial, the same one"
        )
    contiguous = config.contiguous_validation
    if config.folds is not None and config.fold is not None:
        return opened.folds(config.folds, config.seed, contiguous=contiguous)[config.fold - 1]
    if opened.has_own_split:
        return opened.own_split()
    return opened.split(config.validation, config.seed, contiguous=contiguous)


def _absolute(path: str | os.PathLike[str] | None) -> str | None:
    return (
        None if path is None else os.fspath(path) if is_remote(path) else str(Path(path).resolve())
    )


# The configuration keeps the names or the values; the number of classes it keeps in any case.
def _names(classes: int | Sequence[str] | Sequence[int] | None) -> list[str] | None:
    if classes is None or isinstance(classes, int | np.integer):
        return None
    names = [str(item) for item in classes if isinstance(item, str)]
    return names if len(names) == len(classes) else None


def _values(classes: int | Sequence[str] | Sequence[int] | None) -> list[int] | None:
    if classes is None or isinstance(classes, int | np.integer) or _names(classes) is not None:
        return None
    return [int(item) for item in classes]


def _record(
    given: _Given,
    config: TrainingConfig,
    training_images: data.LabeledImages,
    validation_images: data.LabeledImages,
) -> RunRecord:
    """What `config.json` keeps of the run: what was chosen, and what was found in the data."""
    return RunRecord(
        training=config.to_dict(),
        data=DataRecord(
            images=_absolute(given.images),
            masks=_absolute(given.masks),
            validation_images=_absolute(given.validation_images),
            validation_masks=_absolute(given.validation_masks),
            mask_kind=training_images.mask_kind,
            classes=_names(given.classes),
            class_values=_values(given.classes),
            ignore=given.ignore,
            reading=given.reading.given() or None,
            num_channels=training_images.num_channels,
            num_classes=training_images.num_classes,
            stored_types=training_images.stored_types,
            normalization=training_images.normalization().to_dict(),
            mask_spans=training_images.mask_spans.to_dict(),
            training_names=training_images.names,
            validation_names=validation_images.names,
            content=f"{training_images.content_digest()}-{validation_images.content_digest()}",
        ),
        init=_beginning(config),
        versions={
            "keras_unet3p": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "python": sys.version.split()[0],
        },
    )


def _beginning(config: TrainingConfig) -> dict[str, Any] | None:
    """The weights that a run begins with, and what their file holds, if it is there (yet)."""
    source: ModelSource | None = None
    name = config.encoder_weights if config.encoder_weights != "imagenet" else None
    if config.init is not None:
        name, source = config.init, ModelSource.find(config.init)
    if name is None:
        return None
    file = Path(name) if source is None else source.file
    if file is None or not file.is_file():  # a run that goes on may have outlived it
        return {"source": name}
    return {"source": name, "content": sha256_of(file)}


def _keep_record(run: RunFolder, record: RunRecord) -> None:
    """Write `config.json`, or see that the run in the folder has the same one, or a shorter one."""
    if not run.is_run or not run.saved():
        record.write(run.config)
        return
    before = run.read_record()
    longer = before.prolonged(record).with_changes_of(record)
    other = longer.difference(record)
    if other is not None:
        raise InputError(
            f"{printable(run.path)} holds a run with {other.name} = {other.before!r}, asked for "
            f"{other.now!r}; continue it with its own options, or choose another run folder"
        )
    longer = longer.in_places_of(record)
    if longer != before:
        longer.write(run.config)


def _reporting(
    start: StartingPoint, record: RunRecord, run: RunFolder, console: Console
) -> Callable[[models.TakenWeights], None]:
    """What says what was taken over, and keeps it in `config.json`."""

    def report(taken: models.TakenWeights) -> None:
        rule = "the new images' own" if start.normalization is None else "that of the frozen layers"
        console.print(
            f"from {printable(str(start.config.init))}: {taken}; normalisation: {rule}",
            highlight=False,
            markup=False,
        )
        begun = {**(record.init or {}), **start.note(taken)}
        record.model_copy(update={"init": begun}).write(run.config)

    return report


def _train(
    job: TrainingJob, run: RunFolder, strategy: tf.distribute.Strategy, console: Console
) -> None:
    config = job.config
    if job.training.percentiles is not None:
        low, high = job.training.percentiles
        console.print(
            f"each image is normalised by its own {low:g} and {high:g} percentiles; contrasts "
            f"differ by a factor of {job.training.contrast_spread:.1f} (90 over 10 percentile)",
            highlight=False,
        )
    console.print(
        f"{len(job.training)} training and {len(job.validation)} validation images, "
        f"{job.training.num_channels} channel(s), masks of {job.training.mask_kind}"
        + _labeled_share(job.training),
        highlight=False,
    )
    observers = make_callbacks(config.callbacks, run.path, strategy)
    keras.utils.set_random_seed(config.seed)
    used = run.read_history().seconds
    progress = training.EpochProgress(
        console,
        epochs=None if config.hours else config.epochs,
        steps_per_epoch=job.steps_per_epoch,
        seconds=None if config.hours is None else config.hours * 3600 - used,
    )
    try:
        training.fit(
            job.build,
            job.training_data,
            job.validation_data,
            run.path,
            epochs=config.epochs,
            hours=config.hours,
            steps_per_epoch=job.steps_per_epoch,
            learning_rate=training.WarmupCosine(config.learning_rate, config.warmup_steps),
            weight_average=config.weight_average,
            strategy=strategy,
            patience=config.patience,
            callbacks=[progress, _overlays(job, run)],
            observers=observers,
            report=functools.partial(console.print, style="yellow", markup=False, soft_wrap=True),
            lock=False,
            prepare=job.prepare,
        )
    finally:
        progress.stop()


def _overlays(job: TrainingJob, run: RunFolder) -> training.OverlayLog:
    segment = postprocessing.to_class_ids
    if job.learns_distance:
        segment = postprocessing.InstanceRule().instances
    return training.OverlayLog(run.tensorboard, job.overlay_samples(), segment=segment)


def _labeled_share(images: data.LabeledImages) -> str:
    if images.ignore is None:
        return ""
    return f", {images.labeled_share:.1%} of the training pixels labelled"


def _sweep(run: RunFolder) -> None:
    """Remove what a killed training left half written; other things there stay."""
    inside = (path for path in run.validation.rglob("*") if path.is_dir())
    for folder in (run.path, run.validation, *inside):
        remove_unfinished(folder)
