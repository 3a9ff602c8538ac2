"""The command `unet3p`: thin over the functions of `keras_unet3p.workflow`."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_unet3p._version import __version__
from keras_unet3p.endpoint.endpoint_error import EndpointError
from keras_unet3p.endpoint.extra import MissingExtraError
from keras_unet3p.errors import ProblemsError
from keras_unet3p.files import printable, reason

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train, evaluate, export and serve U-Net and UNet 3+ segmentation networks.",
)
_console = Console()
# What the user can mend; whatever else is raised is a mistake of ours and keeps its traceback.
_REFUSALS = (ValueError, OSError, MemoryError, EndpointError, MissingExtraError)


class Architecture(str, Enum):
    unet3plus = "unet3plus"
    unet = "unet"
    unet_plus_plus = "unet_plus_plus"
    attention_unet = "attention_unet"
    fcn = "fcn"


class MaskKind(str, Enum):
    auto = "auto"
    binary = "binary"
    classes = "classes"
    instances = "instances"


class Loss(str, Enum):
    hybrid = "hybrid"
    weighted_cross_entropy = "weighted_cross_entropy"
    focal = "focal"
    dice = "dice"
    iou = "iou"
    ms_ssim = "ms_ssim"


# No path: that of a URL would lose a slash.
Model = Annotated[
    str, typer.Argument(help="Run folder, .keras file, exported model or endpoint URL.")
]
Images = Annotated[Path, typer.Option(help="Folder of images, or a multi-page TIFF.")]
Masks = Annotated[Path, typer.Option(help="Folder of masks, paired with the images by stem.")]
Kind = Annotated[MaskKind, typer.Option(help="What the masks hold; auto looks at them.")]
Tile = Annotated[int, typer.Option(help="Side of the tiles, pixels.")]
# The defaults are those of `keras_unet3p.data`, whose import would take seconds.
MaxPixels = Annotated[
    int, typer.Option(help="Refuse images of more pixels, before they are decoded.")
]
MaxPages = Annotated[int, typer.Option(help="Refuse files of more images.")]
AcceptValues = Annotated[
    bool,
    typer.Option(
        "--accept-values", help="Go on with images whose stored values are not the training's."
    ),
]
_MAX_PIXELS, _MAX_PAGES = 2**28, 10_000


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("quickstart"),
) -> None:
    """Make images, train, export, serve and segment a large image, in a few minutes."""
    workflow = _workflow()
    workflow.quickstart(out, console=_console)


@app.command()
def train(
    images: Images,
    masks: Masks,
    out: Annotated[Path, typer.Option(help="Run folder; an unfinished run in it is continued.")],
    validation_images: Annotated[Path | None, typer.Option(help="Held-out images.")] = None,
    validation_masks: Annotated[Path | None, typer.Option(help="Their masks.")] = None,
    validation: Annotated[float, typer.Option(help="Share held out without such a folder.")] = 0.2,
    mask_kind: Kind = MaskKind.auto,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the classes, background first (background,nerve,vessel); or the mask "
            "values that stand for them (0,128,255); or their number. Found in the masks by "
            "default."
        ),
    ] = None,
    max_pixels: MaxPixels = _MAX_PIXELS,
    max_pages: MaxPages = _MAX_PAGES,
    architecture: Annotated[Architecture, typer.Option()] = Architecture.unet3plus,
    encoder: Annotated[str, typer.Option(help="A keras.applications encoder, or plain.")] = "plain",
    encoder_weights: Annotated[
        str | None, typer.Option(help="imagenet, or the path of a weight file.")
    ] = None,
    filters: Annotated[int, typer.Option(help="Channels of the first encoder stage.")] = 64,
    depth: Annotated[int, typer.Option(help="Number of poolings.")] = 4,
    padding: Annotated[str, typer.Option(help="same, or valid (unet only).")] = "same",
    batch_norm: Annotated[bool, typer.Option(help="Batch normalisation in the U-Nets.")] = True,
    deep_supervision: Annotated[bool, typer.Option(help="Losses on side outputs.")] = True,
    classification_guided: Annotated[
        bool, typer.Option(help="UNet 3+'s classification-guided module.")
    ] = False,
    loss: Annotated[Loss, typer.Option()] = Loss.hybrid,
    border_weights: Annotated[
        str, typer.Option(help="U-Net's weights between objects: auto (for instances), yes or no.")
    ] = "auto",
    separation: Annotated[
        int, typer.Option(help="Background drawn between touching instances, pixels a side.")
    ] = 1,
    patch_size: Annotated[int, typer.Option(help="Side of the training patches, pixels.")] = 256,
    batch_size: Annotated[int, typer.Option(help="Patches a step, over all devices.")] = 4,
    epochs: Annotated[int, typer.Option()] = 50,
    steps_per_epoch: Annotated[
        int | None, typer.Option(help="As many as cover the training images by default.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="At the start of a cosine decay.")] = 1e-3,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better one.")
    ] = None,
    contiguous_validation: Annotated[
        bool, typer.Option(help="Hold out neighbouring images: sections of a block, film frames.")
    ] = False,
    augment: Annotated[bool, typer.Option(help="Augment the training images.")] = True,
    seed: Annotated[int, typer.Option()] = 0,
    strategy: Annotated[str, typer.Option(help="auto, mirrored or default.")] = "auto",
    mixed_precision: Annotated[
        str | None, typer.Option(help="mixed_float16 or mixed_bfloat16.")
    ] = None,
) -> None:
    """Train a network; the same command continues a run that was stopped or killed."""
    workflow = _workflow()
    weights = {"auto": "auto", "yes": True, "no": False}
    if border_weights not in weights:
        raise ValueError(f"border_weights must be auto, yes or no, found {border_weights!r}")
    best = workflow.train(
        images,
        masks,
        out=out,
        validation_images=validation_images,
        validation_masks=validation_masks,
        mask_kind=mask_kind.value,
        classes=_classes(classes),
        max_pixels=max_pixels,
        max_pages=max_pages,
        console=_console,
        validation=validation,
        architecture=architecture.value,
        encoder=encoder,
        encoder_weights=encoder_weights,
        filters=filters,
        depth=depth,
        padding=padding,
        batch_norm=batch_norm,
        deep_supervision=deep_supervision,
        classification_guided=classification_guided,
        loss=loss.value,
        border_weights=weights[border_weights],
        separation=separation,
        patch_size=patch_size,
        batch_size=batch_size,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        learning_rate=learning_rate,
        patience=patience,
        contiguous_validation=contiguous_validation,
        augment=augment,
        seed=seed,
        strategy=strategy,
        mixed_precision=mixed_precision,
    )
    _say(f"best model   {printable(best)}")
    _say(f"pictures     {printable(out / 'validation' / 'pictures')}")


@app.command()
def evaluate(
    model: Model,
    images: Images,
    masks: Masks,
    out: Annotated[Path | None, typer.Option(help="Folder for JSON, CSV and pictures.")] = None,
    mask_kind: Kind = MaskKind.auto,
    tile_size: Tile = 512,
    max_pixels: MaxPixels = _MAX_PIXELS,
    max_pages: MaxPages = _MAX_PAGES,
    accept_values: AcceptValues = False,
) -> None:
    """Compare a model's masks with the truth, image by image and overall."""
    workflow = _workflow()
    report = workflow.evaluate(
        model,
        images,
        masks,
        out=out,
        mask_kind=mask_kind.value,
        tile_size=tile_size,
        max_pixels=max_pixels,
        max_pages=max_pages,
        accept_values=accept_values,
    )
    _print_report(report)
    if out is not None:
        _say(f"written to {printable(out)}")


@app.command()
def predict(
    model: Model,
    images: Annotated[Path, typer.Argument(help="An image, or a folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder for the masks.")],
    overlays: Annotated[bool, typer.Option(help="Write overlays beside the masks.")] = True,
    tile_size: Tile = 512,
    max_pixels: MaxPixels = _MAX_PIXELS,
    max_pages: MaxPages = _MAX_PAGES,
    accept_values: AcceptValues = False,
) -> None:
    """Segment images of any size."""
    workflow = _workflow()
    written = workflow.predict(
        model,
        images,
        out=out,
        overlays=overlays,
        tile_size=tile_size,
        max_pixels=max_pixels,
        max_pages=max_pages,
        accept_values=accept_values,
    )
    _say(f"{len(written)} masks in {printable(out)}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of train.")],
    out: Annotated[Path, typer.Option(help="Folder of the served model.")],
    tile_size: Tile = 512,
    version: Annotated[int | None, typer.Option(help="The next free one by default.")] = None,
) -> None:
    """Export a run's best network as a SavedModel for TensorFlow Serving."""
    workflow = _workflow()
    folder = workflow.export(run, out, tile_size=tile_size, version=version)
    _say(f"{printable(folder)}\n\nserve it with\n  unet3p serve {printable(folder.parent)}")


@app.command()
def serve(
    model: Annotated[Path, typer.Argument(help="Folder of the served model.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="REST port; 0 takes a free one.")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = 8500,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Further name by which it is reached; may be repeated."),
    ] = None,
    trust_model: Annotated[
        bool, typer.Option("--trust-model", help="Serve a graph that uses files or Python.")
    ] = False,
) -> None:
    """Serve an exported model on this machine (development; TensorFlow Serving in production)."""
    workflow = _workflow()

    def ready(server) -> None:
        _say(
            f"REST  {server.url}/v1/models/{printable(model.resolve().name)}:predict\n"
            f"gRPC  {server.grpc_address}\n"
            f"page  {server.url}/\n"
            "for development, not for production; stop with Ctrl-C"
        )

    workflow.serve(
        model,
        host=host,
        port=port,
        grpc_port=grpc_port,
        allowed_hosts=allow_host or (),
        trust_models=trust_model,
        on_ready=ready,
    )


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _workflow():
    """Import the workflow without TensorFlow's start-up notes, which no setting stops."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    error_stream = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

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


def _classes(text: str | None) -> int | list[int] | list[str] | None:
    """The option `--classes` as `workflow.train` takes it."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        if not all(parts):
            raise ValueError(f"--classes {text!r}: an empty name; expected names between commas")
        return parts
    values = [int(part) for part in parts]
    return values if len(values) > 1 else values[0]


def _print_report(report: dict) -> None:
    table = Table("image", *report["columns"])
    for row in report["images"]:
        # As a text: in a string, rich takes what stands in brackets for its markup.
        name = Text(printable(row["name"]))
        table.add_row(name, *(_number(row.get(column)) for column in report["columns"]))
    table.add_section()
    overall = report["overall"]
    table.add_row("overall", *(_number(overall.get(column)) for column in report["columns"]))
    _console.print(table)


def _say(text: str) -> None:
    """Print lines as they are, without rich's markup; names in them are `printable`."""
    _console.print(Text(text), soft_wrap=True)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def main() -> None:
    """Run the command; a refused input is a line on the standard error stream, not a traceback."""
    warnings.formatwarning = lambda message, *_: f"warning: {printable(str(message))}\n"
    try:
        app()
    except _REFUSALS as error:
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
