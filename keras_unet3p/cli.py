"""The command `unet3p`: thin over the functions of `keras_unet3p.workflow`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

import typer
import yaml
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_unet3p import config as _config
from keras_unet3p._version import __version__
from keras_unet3p.artifacts import EvaluationReport, ModelSource
from keras_unet3p.config import (
    MASK_KINDS,
    MAX_PAGES,
    MAX_PIXELS,
    DataChoices,
    ReadingChoices,
    RunChoices,
    TrainingConfig,
    read_run_file,
    read_tf_config,
)
from keras_unet3p.config.loss_choice import LossSum
from keras_unet3p.config.validation import Checked, OneOf
from keras_unet3p.errors import InputError, ProblemsError, UserError, printable
from keras_unet3p.files import reason
from keras_unet3p.images.found_files import find_files
from keras_unet3p.images.image_list import is_image_list, read_image_list
from keras_unet3p.images.remote_files import is_remote

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, evaluate, export and serve U-Net and UNet 3+ segmentation networks.",
    epilog="Exit codes: 0 done; 1 done, and what was to be found out is not as it should be "
    "(check, verify, compare --fail-above); 2 refused, with a line that says why.",
)
# The commands by task, as the help groups them.
_LEARN, _USE, _SERVE = "Train", "Segment and measure", "Serve"
_console = Console()
_MOST_COMPARED = 20  # images in a table on the screen
_YES_OR_NO: dict[Any, str] = {True: "yes", False: "no"}
# Errors that the user can correct, and errors of the system. Other errors are mistakes in this
# package and keep their traceback.
_REFUSALS = (UserError, OSError, MemoryError)


def _help(section: type[Checked], name: str) -> str:
    return section.model_fields[name].description or ""


# Not a Path, which would remove a slash from a URL.
Model = Annotated[
    str,
    typer.Argument(
        help="Run folder, .keras file, exported model, endpoint URL or preset (nuclei)."
    ),
]
Images = Annotated[str, typer.Option(help=_help(DataChoices, "images"))]
Masks = Annotated[str | None, typer.Option(help=_help(DataChoices, "masks"), show_default=False)]
Kind = Annotated[
    str,
    typer.Option(help="Kind of the masks; auto finds it out.", metavar="|".join(MASK_KINDS)),
]
Tile = Annotated[int, typer.Option(help="Side of the tiles, pixels.")]
Versions = Annotated[
    int | None,
    typer.Option(
        "--test-time-augmentation",
        help="Mean over 2, 4 or 8 mirrored and turned versions of each tile, in as many times the "
        "time; 1 for none. By default what training chose.",
        metavar="1|2|4|8",
        show_default=False,
    ),
]
MaxPixels = Annotated[
    int, typer.Option(help="Refuse images of more pixels, before they are decoded.")
]
MaxPages = Annotated[int, typer.Option(help="Refuse files of more images.")]
AcceptValues = Annotated[
    bool,
    typer.Option(
        "--accept-values", help="Accept images whose stored values differ from those of training."
    ),
]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def _command(
    task: str, example: str, *sections: type[Checked]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command whose help ends with an example.

    The fields of the sections are options that its `**` takes.
    """

    def register(command: Callable[..., None]) -> Callable[..., None]:
        if sections:
            command.__signature__ = _with_options(command, *sections)  # type: ignore[attr-defined]
        return app.command(rich_help_panel=task, epilog=f"Example: {example}")(command)

    return register


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=float))  # of NumPy


def _with_options(command: Callable[..., None], *sections: type[Checked]) -> inspect.Signature:
    """The signature of a command, with one option per field of sections in place of its `**`.

    An option that is not given is None. Its default comes from the section or from a file.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    return signature.replace(
        parameters=[
            *own,
            *(
                _option(name, field)
                for section in sections
                for name, field in section.model_fields.items()
            ),
        ]
    )


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    kinds = [
        kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType
    ]
    if name == "callbacks":
        option = typer.Option(
            "--callback",
            help="A Keras callback: its import path, or {name: PATH, arguments: {NAME: VALUE}}; "
            "may be given several times.",
            show_default=False,
        )
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[list[str] | None, option],
        )
    checks = (getattr(item, "func", None) for item in field.metadata)
    choices = next((check.choices for check in checks if isinstance(check, OneOf | LossSum)), None)
    default = field.default
    if choices is not None:
        names = [_YES_OR_NO.get(choice, str(choice)) for choice in choices]
        option = typer.Option(
            help=field.description, metavar="|".join(names), show_default=default or False
        )
        kind = str
    else:
        if isinstance(default, bool):
            default = ("" if default else "no-") + name.replace("_", "-")
        shown = False if default is None else str(default)
        option = typer.Option(help=field.description, show_default=shown)
        (kind,) = kinds
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _yes_or_no(text: str | None) -> str | bool | None:
    values: dict[str | None, bool] = {word: value for value, word in _YES_OR_NO.items()}
    return values.get(text, text)


@_command(_LEARN, "unet3p check --images images --masks masks --out check", ReadingChoices)
def check(
    images: Images,
    masks: Masks = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for check.json and contact_sheet.png.", show_default=False),
    ] = None,
    mask_kind: Annotated[
        str, typer.Option(metavar="|".join(MASK_KINDS), help="What the masks hold.")
    ] = "auto",
    ignore: Annotated[
        int | None, typer.Option(help=_help(DataChoices, "ignore"), show_default=False)
    ] = None,
    as_json: AsJson = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_pages: MaxPages = MAX_PAGES,
    **reading: Any,
) -> None:
    """Say what a folder of images and masks holds, and what looks wrong with it.

    The exit code is 1 where nothing could be learnt from them as they are.
    """
    _see(images=images, masks=masks)
    found = _workflow().check(
        images,
        masks,
        out=out,
        mask_kind=mask_kind,
        ignore=ignore,
        max_pixels=max_pixels,
        max_pages=max_pages,
        progress=True,
        reading=_reading(reading),
    )
    if as_json:
        suspicions = [suspicion._asdict() for suspicion in found.suspicions]
        _print_json({**found.facts, "suspicions": suspicions})
    else:
        table = Table(show_header=False)
        for name, value in found.facts.items():
            table.add_row(name, printable(_as_words(value)))
        _console.print(table)
        for suspicion in found.suspicions:
            names = ", ".join(suspicion.names[:_MOST_COMPARED])
            what = "error" if suspicion.is_error else "look at"
            _say(f"{what}: {suspicion.text}" + (f": {printable(names)}" if names else ""))
        if not found.suspicions:
            _say("nothing looks wrong")
        if out is not None:
            _say(f"written to {printable(out)}")
    if found.has_errors:
        raise typer.Exit(1)


def _as_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {share:.1%}" for name, share in value.items())
    if isinstance(value, list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return str(value)


@_command(_USE, "unet3p convert annotations.json --to masks --out masks")
def convert(
    source: Annotated[Path, typer.Argument(help="File or folder of annotations or of masks.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    to: Annotated[
        str, typer.Option(help="What is written.", metavar="masks|coco|labelme|geojson|imagej")
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the images; geojson and imagej need it, since they tell no sizes.",
            show_default=False,
        ),
    ] = None,
    source_format: Annotated[
        str,
        typer.Option(
            "--from",
            help="Format of SOURCE; auto finds it out.",
            metavar="auto|masks|coco|labelme|geojson|imagej|labelstudio",
        ),
    ] = "auto",
    kind: Annotated[
        str,
        typer.Option(
            help="What masks hold: a number for each object, or class ids.",
            metavar="instances|classes",
        ),
    ] = "instances",
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the classes, background first (background,nerve,vessel). By default "
            "those of SOURCE, sorted.",
            show_default=False,
        ),
    ] = None,
    crowd: Annotated[
        int | None,
        typer.Option(
            help="Value of COCO's crowds in masks of instances, for --ignore of train; by default "
            "they are background.",
            show_default=False,
        ),
    ] = None,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Convert annotations of other programs to masks, and masks to annotations."""
    from keras_unet3p import workflow  # without TensorFlow, which this does not need

    names = _classes(classes)
    if isinstance(names, int) or (names and isinstance(names[0], int)):
        raise InputError(f"--classes {classes!r}; expected names between commas")
    done = workflow.convert(
        source,
        out=out,
        to=to,
        source_format=source_format,
        images=images,
        kind=kind,
        classes=[str(name) for name in names] if names else None,
        crowd=crowd,
        max_pixels=max_pixels,
    )
    for note in done.notes:
        _say(printable(note))
    if to != "masks" or kind == "classes":
        _say(f"classes: {printable(','.join(done.classes))}")
    _say(f"{done.objects} objects of {done.images} images in {printable(out)}")


@_command(_LEARN, "unet3p quickstart --out quickstart")
def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("quickstart"),
) -> None:
    """Make images, train, export, serve and segment a large image, in a few minutes."""
    workflow = _workflow()
    workflow.quickstart(out, console=_console)


def train(
    out: Annotated[Path, typer.Option(help="Run folder; an unfinished run in it is continued.")],
    images: Annotated[str | None, typer.Option(help=_help(DataChoices, "images"))] = None,
    masks: Masks = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of options, or the config.json of a run. Options of the command line "
            "override it."
        ),
    ] = None,
    validation_images: Annotated[
        str | None, typer.Option(help=_help(DataChoices, "validation_images"))
    ] = None,
    validation_masks: Annotated[
        str | None, typer.Option(help=_help(DataChoices, "validation_masks"))
    ] = None,
    mask_kind: Annotated[
        str | None,
        typer.Option(
            help=_help(DataChoices, "mask_kind"),
            metavar="|".join(MASK_KINDS),
            show_default="auto",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the classes, background first (background,nerve,vessel), or their mask "
            "values (0,128,255), or their number. By default read from the masks."
        ),
    ] = None,
    ignore: Annotated[
        int | None, typer.Option(help=_help(DataChoices, "ignore"), show_default=False)
    ] = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_pages: MaxPages = MAX_PAGES,
    planned: Annotated[
        bool,
        typer.Option(
            "--plan/--no-plan",
            help="Without a network, epochs or a file of options, plan the training from the data "
            "and this machine, as unet3p plan does.",
        ),
    ] = True,
    **training: Any,
) -> None:
    """Train a network. The same command continues a run that was stopped or killed.

    Without a choice of a network or of epochs the training is planned, for one hour or --hours.
    """
    chosen = read_run_file(config) if config is not None else RunChoices({}, {})
    for name in ("border_weights", "test_time_augmentation"):  # as in a file: yes, no or auto
        if name in training:
            training[name] = _yes_or_no(training[name])
    if training.get("callbacks"):
        training["callbacks"] = [_callback(text) for text in training["callbacks"]]
    else:  # typer gives an empty list where there are none
        training.pop("callbacks", None)
    given = {
        name: value
        for name, value in training.items()
        if value is not None and name not in ReadingChoices.model_fields
    }
    data: dict[str, Any] = {
        **chosen.data,
        **{
            name: value
            for name, value in (
                ("images", images),
                ("masks", masks),
                ("validation_images", validation_images),
                ("validation_masks", validation_masks),
                ("mask_kind", mask_kind),
                ("ignore", ignore),
            )
            if value is not None
        },
    }
    if data.get("images") is None:
        raise InputError("images: none given; expected --images, or images in --config")
    data.setdefault("masks", None)
    _see(images=data["images"], masks=data["masks"])
    if data.get("validation_images") is not None:
        _see(validation_images=data["validation_images"], masks=data.get("validation_masks"))
    names, values = data.pop("classes", None), data.pop("class_values", None)
    reading = (_reading(training) or ReadingChoices()).over(
        ReadingChoices(**(data.pop("reading", None) or {}))
    )
    TrainingConfig(**{**chosen.training, **given})  # not accepted? Told before all else
    if planned and config is None:
        found = _workflow().plan_of_run(
            out,
            {name: value for name, value in given.items() if name != "callbacks"},
            **{name: value for name, value in data.items() if not name.startswith("validation")},
            classes=_classes(classes) or values or names,
            max_pixels=max_pixels,
            max_pages=max_pages,
            reading=reading,
            on_planning=_say,
            progress=_console,
        )
        if found is not None:
            _print_plan(found)
            given = {**found.training(), **given}
    training_config = TrainingConfig(**{**chosen.training, **given})
    data |= {
        "classes": _classes(classes) or values or names,
        "max_pixels": max_pixels,
        "max_pages": max_pages,
        "reading": reading,
        "console": _console,
    }
    if training_config.folds is not None and training_config.fold is None:
        _cross_validate(training_config, out, data)
        return
    pair = data.pop("images"), data.pop("masks")
    best = _workflow().train(*pair, training_config, out=out, **data)
    cluster = read_tf_config()
    if cluster is not None and not cluster.is_chief:
        return
    _say(f"best model   {printable(best)}")
    _say(f"report       {printable(out / 'report.html')}")
    _say(f"pictures     {printable(out / 'validation' / 'pictures')}")


def _callback(text: str) -> Any:
    """A callback as it stands on the command line: a path, or a mapping as in a file."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--callback {printable(text)}: {' '.join(str(error).split())}") from None


def _cross_validate(config: TrainingConfig, out: Path, data: dict[str, Any]) -> None:
    for name in ("validation_images", "validation_masks"):
        if data.pop(name, None) is not None:
            raise InputError(f"{name}: folds hold out images of their own; leave one of them out")
    _workflow().cross_validate(data.pop("images"), data.pop("masks"), config, out=out, **data)
    _say(f"folds        {printable(out / 'folds.json')}")
    _say(f"pictures     {printable(out / 'validation' / 'pictures')}")


def _print_plan(found: Any) -> None:
    table = Table("option", "value", "because")
    for line in found.lines:
        table.add_row(line.name, str(line.value), Text(line.reason))
    _console.print(table)
    if found.memory_sentence():
        _say(found.memory_sentence())


_command(
    _LEARN,
    "unet3p train --images images --masks masks --out runs/cells --hours 2",
    ReadingChoices,
    TrainingConfig,
)(train)


@_command(_LEARN, "unet3p tf-config --port 2222")
def tf_config(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port at which each process listens.")
    ] = 2222,
) -> None:
    """Print TF_CONFIG of this process of a Slurm step or a Kubernetes Job, for train."""
    typer.echo(json.dumps(_config.tf_config(port=port)))


@_command(_LEARN, "unet3p plan --images images --masks masks --hours 2", ReadingChoices)
def plan(
    images: Images,
    masks: Masks = None,
    hours: Annotated[float, typer.Option(help="Time of the training.")] = 1.0,
    out: Annotated[
        Path | None, typer.Option(help="File for the plan, JSON.", show_default=False)
    ] = None,
    mask_kind: Kind = "auto",
    as_json: AsJson = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_pages: MaxPages = MAX_PAGES,
    **reading: Any,
) -> None:
    """Look at the images and at this machine, and say how a training would be done, and why."""
    _see(images=images, masks=masks)
    found = _workflow().plan(
        images,
        masks,
        hours=hours,
        mask_kind=mask_kind,
        max_pixels=max_pixels,
        max_pages=max_pages,
        out=out,
        reading=_reading(reading),
        progress=True,
    )
    if as_json:
        _print_json(found.to_dict())
        return
    _print_plan(found)
    _say(f"about {found.steps} steps of {found.step_seconds:.3g} s")
    if out is not None:
        _say(f"written to {printable(out)}")


@_command(
    _USE,
    "unet3p evaluate runs/cells --images held_out/images --masks held_out/masks --out report",
    ReadingChoices,
)
def evaluate(
    model: Model,
    images: Images,
    masks: Masks = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report, JSON, CSV, pictures.")
    ] = None,
    mask_kind: Kind = "auto",
    ignore: Annotated[
        str,
        typer.Option(
            help="Mask value of unlabelled pixels, which are left out; none; or auto, that of the "
            "training.",
            metavar="VALUE|none|auto",
        ),
    ] = "auto",
    tile_size: Tile = 512,
    test_time_augmentation: Versions = None,
    as_json: AsJson = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_pages: MaxPages = MAX_PAGES,
    accept_values: AcceptValues = False,
    **reading: Any,
) -> None:
    """Compare a model's masks with the true masks, for each image and overall."""
    _see(model, images=images, masks=masks)
    report = _workflow().evaluate(
        model,
        images,
        masks,
        out=out,
        mask_kind=mask_kind,
        ignore=_ignore(ignore),
        tile_size=tile_size,
        test_time_augmentation=test_time_augmentation,
        max_pixels=max_pixels,
        max_pages=max_pages,
        accept_values=accept_values,
        progress=True,
        reading=_reading(reading),
    )
    if as_json:
        _print_json(report.to_dict())
        return
    _print_report(report)
    if out is not None:
        _say(f"written to {printable(out)}")


@_command(_USE, "unet3p predict runs/cells images --out masks", ReadingChoices)
def predict(
    model: Model,
    images: Annotated[
        str, typer.Argument(help="An image, a folder of them, a pattern or an address.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the masks; of a cluster, the Zarr array.", show_default=False
        ),
    ] = None,
    into_zarr: Annotated[
        str | None,
        typer.Option(
            help="Name of a label image that is written into each OME-Zarr image, instead of a "
            "mask into --out.",
            show_default=False,
        ),
    ] = None,
    mask_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="Of the masks: auto, the image's own where it is a volume or OME-Zarr, else png; "
            "or png, or tiff, which holds more than 65,535 objects.",
            metavar="auto|png|tiff",
        ),
    ] = "auto",
    overlays: Annotated[bool, typer.Option(help="Write overlays beside the masks.")] = True,
    pixel_size: Annotated[
        float | None,
        typer.Option(
            help="Side of a pixel in micrometres, for the table of objects; by default what a "
            "TIFF tells.",
            show_default=False,
        ),
    ] = None,
    polygons: Annotated[
        str | None,
        typer.Option(
            help="Write the outlines of objects too, for QuPath and others or for ImageJ.",
            metavar="geojson|imagej",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="How far outlines may be simplified, pixels.")
    ] = 0.5,
    link_slices: Annotated[
        float | None,
        typer.Option(
            help="Number the objects of a volume through its slices: those that overlap from "
            "slice to slice with at least this intersection over union are one; 0.25 is usual.",
            show_default=False,
        ),
    ] = None,
    tile_size: Tile = 512,
    test_time_augmentation: Versions = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_pages: MaxPages = MAX_PAGES,
    accept_values: AcceptValues = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a Dask cluster, tcp://HOST:8786, whose workers segment one image "
            "chunk by chunk.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="The same with so many processes of this machine.", min=1, show_default=False
        ),
    ] = None,
    chunk: Annotated[
        int | None,
        typer.Option(help="Of a cluster: side of a chunk, pixels.", min=1, show_default=False),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            help="Of a cluster that asks an endpoint: its model's model_card.json.",
            show_default=False,
        ),
    ] = None,
    **reading: Any,
) -> None:
    """Segment images of any size. Killed, the same command goes on where it was."""
    if scheduler is not None or workers is not None:
        if test_time_augmentation is not None:
            raise InputError(
                "--test-time-augmentation: a cluster takes what training chose; leave it out"
            )
        if link_slices is not None:
            raise InputError("--link-slices: a cluster segments one image; leave it out")
        ModelSource.of(model)
        if out is None:
            raise InputError("--out: none given; expected the Zarr array that is written")
        written = _workflow().predict_on_cluster(
            model,
            images,
            out,
            scheduler=scheduler,
            workers=workers,
            chunk=chunk,
            tile_size=tile_size,
            card=card,
            progress=True,
        )
        _say(printable(written))
        return
    if chunk is not None or card is not None:
        raise InputError("--chunk, --card: they are for --scheduler or --workers")
    _see(model, images=images)
    written = _workflow().predict(
        model,
        images,
        out=out,
        into_zarr=into_zarr,
        mask_format=mask_format,
        overlays=overlays,
        pixel_size=pixel_size,
        polygons=polygons,
        tolerance=tolerance,
        link_slices=link_slices,
        tile_size=tile_size,
        test_time_augmentation=test_time_augmentation,
        max_pixels=max_pixels,
        max_pages=max_pages,
        accept_values=accept_values,
        progress=True,
        reading=_reading(reading),
    )
    inside = f"labels/{printable(into_zarr or '')} of the images"
    _say(f"{len(written)} masks in {printable(out or '') if into_zarr is None else inside}")
    for name, what in (("objects.csv", "each object"), ("images.csv", "counts")):
        if out is not None and (out / name).is_file():
            _say(f"{what:12} {printable(out / name)}")


@_command(_SERVE, "unet3p export runs/cells --out models/cells")
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of train, or a preset (nuclei).")],
    out: Annotated[
        Path, typer.Option(help="Folder of the served model; of bioimageio a file ending in .zip.")
    ],
    tile_size: Tile = 512,
    test_time_augmentation: Versions = None,
    version: Annotated[
        int | None, typer.Option(help="Number of the version; by default the next free one.")
    ] = None,
    member: Annotated[
        list[int] | None,
        typer.Option(
            help="Of a cross-validation: a fold whose network is taken, from 1 on; give it several "
            "times. By default all are.",
            show_default=False,
        ),
    ] = None,
    export_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="For TensorFlow Serving, or a package of the BioImage Model Zoo.",
            metavar="savedmodel|bioimageio",
        ),
    ] = "savedmodel",
    name: Annotated[
        str | None, typer.Option(help="Of bioimageio: the model's name.", show_default=False)
    ] = None,
    author: Annotated[
        list[str] | None,
        typer.Option(
            help="Of bioimageio: an author of the model; may be repeated. A preset has its own.",
            show_default=False,
        ),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            help="Of bioimageio: the weights' licence, an SPDX identifier (CC-BY-4.0). A preset "
            "has its own.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Export a run's best network as a SavedModel for TensorFlow Serving, or as a package."""
    if export_format not in ("savedmodel", "bioimageio"):
        raise InputError(f"--format {export_format!r}; expected savedmodel or bioimageio")
    if export_format == "bioimageio" and version is not None:
        raise InputError("--version: a package has none; leave it out")
    if export_format == "bioimageio" and test_time_augmentation is not None:
        raise InputError("--test-time-augmentation: a package has none; leave it out")
    if export_format != "bioimageio" and (name or author or license):
        raise InputError("--name, --author, --license: they are for --format bioimageio")
    _see(os.fspath(run))
    workflow, members = _workflow(), member or None
    if export_format == "bioimageio":
        text: dict[str, Any] = {"name": name, "authors": author or None, "license": license}
        workflow.export_bioimageio(run, out, tile_size=tile_size, members=members, **text)
        _say(f"{printable(out)}\n\ntest it with\n  bioimageio test {printable(out)}")
        return
    folder = workflow.export(
        run,
        out,
        tile_size=tile_size,
        version=version,
        members=members,
        test_time_augmentation=test_time_augmentation,
        progress=True,
    )
    _say(f"{printable(folder)}\n\nserve it with\n  unet3p serve {printable(folder.parent)}")


@_command(_SERVE, "unet3p serve models/cells")
def serve(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of the served model, or a preset (nuclei).", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="In place of MODEL: TensorFlow Serving's file of models, versions and labels.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="REST port; 0 takes a free one.")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = 8500,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Further host name of this server; may be repeated."),
    ] = None,
    trust_model: Annotated[
        bool, typer.Option("--trust-model", help="Serve a graph that uses files or Python.")
    ] = False,
) -> None:
    """Serve exported models on this machine, for development, not for production."""
    workflow = _workflow()

    def ready(server) -> None:
        rest = [f"REST  {server.url}/v1/models/{printable(name)}:predict" for name in server.names]
        _say(
            "\n".join(rest) + f"\ngRPC  {server.grpc_address}\n"
            f"page  {server.url}/\n"
            "for development, not for production; stop with Ctrl-C"
        )

    workflow.serve(
        model,
        config=config,
        host=host,
        port=port,
        grpc_port=grpc_port,
        allowed_hosts=allow_host or (),
        trust_models=trust_model,
        on_ready=ready,
        on_config=lambda line: _say(f"config: {printable(line)}"),
    )


@_command(_SERVE, "unet3p verify http://localhost:8501/cells --golden models/cells")
def verify(
    model: Annotated[str, typer.Argument(help="Exported model, or endpoint URL.")],
    golden: Annotated[
        Path | None,
        typer.Option(
            help="Exported model whose golden pairs are sent; by default MODEL's own.",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Largest difference of a probability.")] = 0.001,
    pixels: Annotated[
        float, typer.Option(help="Largest share of pixels of another class or instance.")
    ] = 0.001,
    as_json: AsJson = False,
) -> None:
    """Check that a model answers as it did when it was exported; the exit code is 1 if it does not.

    Proof before traffic: unet3p verify http://HOST:8501/cells --golden models/cells/3
    """
    differences = _workflow().verify(model, golden)
    as_exported = all(found.is_within(tolerance, pixels) for found in differences)
    if as_json:
        _print_json([dataclasses.asdict(found) for found in differences])
    else:
        _print_differences(differences, tolerance, pixels)
    if not as_exported:
        raise typer.Exit(1)


def _print_differences(differences: Sequence[Any], tolerance: float, pixels: float) -> None:
    table = Table("signature", "pixels that differ", "largest difference", "")
    for found in differences:
        table.add_row(
            found.signature,
            "" if found.pixels is None else f"{found.pixels:.4%}",
            "" if found.probability is None else f"{found.probability:.2g}",
            found.problem or ("as exported" if found.is_within(tolerance, pixels) else "differs"),
        )
    _console.print(table)


@_command(_SERVE, "unet3p capacity models/cells --pixels 4000000 --at-once 4")
def capacity(
    model: Annotated[str, typer.Argument(help="Exported model.")],
    largest: Annotated[int, typer.Option(help="Largest side of the images, pixels.")] = 4096,
    pixels: Annotated[
        int, typer.Option(help="Pixels of the images that are expected, for the estimate.")
    ] = 2048**2,
    at_once: Annotated[int, typer.Option(help="How many of them at once.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Measure what an exported model needs on this machine, for the limits of its deployment."""
    workflow = _workflow()
    found = workflow.capacity(
        model, sides=[side for side in workflow.SIDES if side <= largest] or [largest]
    )
    estimate = {
        "memory_mb": found.memory_mb(pixels, at_once),
        "seconds": at_once * found.seconds(pixels),
    }
    if as_json:
        needs = [need._asdict() for need in found.needs]
        _print_json({**found._asdict(), "needs": needs, "estimate": estimate})
        return
    table = Table("image", "first answer, s", "further ones, s", "megapixels a second", "peak, MB")
    for need in found.needs:
        table.add_row(
            f"{need.side} x {need.side}",
            f"{need.first:.2f}",
            f"{need.seconds:.3f}",
            f"{need.pixels / need.seconds / 1e6:.2f}",
            f"{need.peak_mb:.0f}",
        )
    _console.print(table)
    _say(f"loaded in {found.load:.1f} s, {found.idle_mb:.0f} MB")
    if found.stopped is not None:
        _say(f"stopped: {printable(found.stopped)}")
    _say(
        f"{at_once} images of {pixels / 1e6:.1f} megapixels at once: about "
        f"{estimate['memory_mb']:.0f} MB, {estimate['seconds']:.1f} s"
    )


@_command(
    _USE, "unet3p compare runs/cells nuclei --images images --out differences", ReadingChoices
)
def compare(
    first: Annotated[str, typer.Argument(help="A model: run, export, endpoint URL, preset.")],
    second: Annotated[str, typer.Argument(help="Another one, or another version of it.")],
    images: Annotated[
        str, typer.Option(help="An image, a folder of them, a pattern or an address.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for comparison.csv and pictures.", show_default=False),
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option(
            help="Mean share of pixels that differ above which the exit code is 1.",
            show_default=False,
        ),
    ] = None,
    tile_size: Tile = 512,
    accept_values: AcceptValues = False,
    as_json: AsJson = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_pages: MaxPages = MAX_PAGES,
    **reading: Any,
) -> None:
    """Show how the masks of two models differ; no truth is needed.

    Before a canary takes over: unet3p compare http://HOST:8501/cells/labels/stable
    http://HOST:8501/cells/labels/canary --images DIR
    """
    _see(first, second, images=images)
    rows = _workflow().compare(
        first,
        second,
        images,
        out=out,
        tile_size=tile_size,
        accept_values=accept_values,
        max_pixels=max_pixels,
        max_pages=max_pages,
        reading=_reading(reading),
    )
    mean = sum(row.pixels for row in rows) / len(rows)
    if as_json:
        _print_json({"pixels": mean, "images": [row._asdict() for row in rows]})
    else:
        _print_comparison(rows)
        _say(f"{len(rows)} images, {mean:.4%} of the pixels differ")
        if out is not None:
            _say(f"written to {printable(out)}")
    if fail_above is not None and mean > fail_above:
        raise typer.Exit(1)


def _print_comparison(rows: Sequence[Any]) -> None:
    table = Table("image", "pixels that differ", "objects, first", "second", "agreement")
    for row in rows[:_MOST_COMPARED]:
        numbers = ["" if value is None else str(value) for value in (row.first, row.second)]
        agreement = "" if row.agreement is None else f"{row.agreement:.4f}"
        table.add_row(row.name, f"{row.pixels:.4%}", *numbers, agreement)
    _console.print(table)


@app.callback(invoke_without_command=True)
def _general(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of every error.")
    ] = False,
) -> None:
    _general.debug = debug
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _see(*models: str, **files: str | None) -> None:
    """Refuse what is not there before TensorFlow is imported, which takes seconds."""
    for model in models:
        ModelSource.of(model)
    for argument, given in files.items():
        if given is None or is_remote(given):
            continue
        if is_image_list(given):
            read_image_list(given)
        else:
            find_files(given, argument)


def _workflow():
    """Import the workflow without TensorFlow's messages at start, which no setting stops."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    error_stream = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            # This starts TensorFlow, which could then no longer be told of other machines.
            if not os.environ.get("TF_CONFIG"):
                tf.config.list_logical_devices()
            from keras_unet3p import workflow
        except BaseException:
            notes.seek(0)
            os.write(error_stream, notes.read())
            raise
        finally:
            os.dup2(error_stream, 2)
            os.close(error_stream)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return workflow


def _reading(options: dict[str, Any]) -> ReadingChoices | None:
    """The options of `ReadingChoices` that are given; None where none is."""
    given = {
        name: value
        for name, value in options.items()
        if name in ReadingChoices.model_fields and value is not None
    }
    return ReadingChoices(**given) if given else None


def _classes(text: str | None) -> int | list[int] | list[str] | None:
    """The option `--classes` as `workflow.train` takes it."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        if not all(parts):
            raise InputError(f"--classes {text!r}: an empty name; expected names between commas")
        return parts
    values = [int(part) for part in parts]
    return values if len(values) > 1 else values[0]


def _ignore(text: str) -> int | str | None:
    """The option `--ignore` as `workflow.evaluate` takes it."""
    if text in ("none", "auto"):
        return None if text == "none" else text
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"--ignore {text!r}; expected a mask value, none or auto")
    return int(text)


def _print_report(report: EvaluationReport) -> None:
    table = Table("image", *report.columns)
    *images, overall = report.rows()
    for name, *figures in images:
        # As a text: in a string, rich takes what stands in brackets for its markup.
        table.add_row(Text(name), *figures)
    table.add_section()
    table.add_row(*overall)
    _console.print(table)


def _say(text: str) -> None:
    """Print lines without rich's markup. Names in them must be `printable`."""
    _console.print(Text(text), soft_wrap=True)


def main() -> None:
    """Run the command. Errors for users are one line on the standard error stream."""
    warnings.formatwarning = lambda message, *_: f"warning: {printable(str(message))}\n"
    try:
        app()
    except _REFUSALS as error:
        if getattr(_general, "debug", False):
            raise
        message = Text(f"error: {_message(error)}", style="red")
        Console(stderr=True).print(message, soft_wrap=True)
        raise SystemExit(2) from None


def _message(error: BaseException) -> str:
    if isinstance(error, ProblemsError):
        return str(error)
    if isinstance(error, OSError):
        return reason(error)
    if isinstance(error, MemoryError):
        return f"not enough memory: {reason(error)}"
    return printable(str(error))
