"""Export to the package format of the BioImage Model Zoo."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import tensorflow as tf

from keras_unet3p.artifacts import CardNormalization, ModelCard
from keras_unet3p.data import generate_cells
from keras_unet3p.errors import InputError, printable
from keras_unet3p.export.bioimageio_spec import load_spec, numbers
from keras_unet3p.export.cards import model_card
from keras_unet3p.export.citations import papers_of
from keras_unet3p.export.package_readme import package_readme
from keras_unet3p.export.package_text import PackageText
from keras_unet3p.export.packaged_network import INPUT, OPSET, OUTPUT, PackagedNetwork
from keras_unet3p.export.saved_model import constants
from keras_unet3p.files import replacing, write_text
from keras_unet3p.graphs.network import Network
from keras_unet3p.graphs.network_geometry import is_multi_label
from keras_unet3p.images import pictures
from keras_unet3p.postprocessing import InstanceRule, MaskRule, to_class_ids
from keras_unet3p.tiling.exported_model import load_exported_model

_TEST_SIDE, _LEAST_TEST_SIDE = 256, 16
_SMALLEST = 64
"""Sides in pixels: of the test image, and of the images that the package is declared for."""
_COVER_SIDE = 256
_CARD, _README, _COVER = "model_card.json", "README.md", "cover.png"
_GRAPH, _ONNX = "saved_model.zip", "model.onnx"
_TEST_INPUT, _TEST_OUTPUT = "test_input.npy", "test_output.npy"


def export_bioimageio(
    model: Network,
    path: str | os.PathLike,
    text: PackageText,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    value_scale: str = "dtype",
    stored_types: Sequence[str] = ("uint8",),
    rule: MaskRule | InstanceRule | None = None,
    classes: Sequence[str] | None = None,
    training_metrics: dict | None = None,
) -> Path:
    """Write `model` as a package of the BioImage Model Zoo, one .zip file.

    Its input is `image`, float32 (B, H, W, C): the values as they are in the files, of any size.
    Its output is `probabilities`, float32 (B, H, W, K) in [0, 1]. Scaling, stretching, normalising
    and, in the SavedModel, tiling are in the graph. What follows the network (threshold, instances)
    is not; the package's README.md and model_card.json tell it.

    The weights are a TensorFlow SavedModel, and ONNX besides where tf2onnx is installed and the
    network takes images of any size; if ONNX lacks one of its operations, a warning tells. ONNX
    runs a whole image at once.

    Args:
        model: a Keras model.
        path: file ending in .zip. An existing one is replaced when the new one is complete.
        text: what people read.
        tile_size, halo: see `tiling.model_geometry`.
        value_scale: the rule for stored values; see `images.Normalization`.
        stored_types: the types of the pixels in the files. Where their largest values differ, and
            images are not stretched, the package takes unit values.
        rule: what is to follow the network; None is `MaskRule()`.
        classes: one name per class, background first.
        training_metrics: JSON-serialisable values about the training, for the model card.

    Returns:
        The path.

    Raises:
        ImportError: the packages of the extra "bioimageio" are not installed.
        ValueError: an argument does not fit the model, or the format does not take a text.

    Example:
        >>> from keras_unet3p.models import unet
        >>> text = PackageText("My cells", ["A. Person"], "CC-BY-4.0")
        >>> export_bioimageio(unet(filters=2, depth=1), "cells.zip", text)  # doctest: +SKIP
        PosixPath('cells.zip')
    """
    path = Path(path)
    if path.suffix != ".zip":
        raise InputError(f"path must end in .zip, found {printable(path)}")
    spec = load_spec()
    rule = rule or MaskRule()
    network = PackagedNetwork(
        model, tile_size=tile_size, halo=halo, value_scale=value_scale, stored_types=stored_types
    )
    with replacing(path) as working:
        folder = working.with_name("parts")
        folder.mkdir()
        _write_weights(network, folder)
        _write_test(model, network, folder, rule)
        card = model_card(
            model,
            network.geometry,
            network.num_classes,
            network.channels,
            [folder / name for name in (_GRAPH, _ONNX) if (folder / name).exists()],
            classes=classes,
            training_metrics={"postprocessing": rule.to_dict(), **(training_metrics or {})},
            whole_images={
                "threshold": rule.threshold,
                "multi_label": is_multi_label(model, network.num_classes),
                "normalization": CardNormalization(
                    value_scale=value_scale, input_dtype="float32", **constants(model)
                ),
            },
        )
        card.write(folder / _CARD)
        write_text(folder / _README, package_readme(text, network, rule))
        _write_package(spec, working, folder, text, network, _channel_names(card, rule))
    return path


def _write_weights(network: PackagedNetwork, folder: Path) -> None:
    graph = folder / "saved_model"
    network.write_saved_model(graph)
    shutil.make_archive(str(graph), "zip", graph)
    if network.has_onnx and find_spec("tf2onnx") is not None:
        try:
            network.write_onnx(folder / _ONNX)
        except InputError as error:
            (folder / _ONNX).unlink(missing_ok=True)
            warnings.warn(f"the package has no ONNX: {error}", stacklevel=4)


def _write_test(
    model: Network, network: PackagedNetwork, folder: Path, rule: MaskRule | InstanceRule
) -> None:
    """The test tensors, asked of the file that was written, and the picture of both."""
    signature = load_exported_model(folder / "saved_model").signatures["serving_default"]
    image = _test_image(model, network)
    found = signature(**{INPUT: tf.constant(image)})[OUTPUT].numpy()
    np.save(folder / _TEST_INPUT, image)
    np.save(folder / _TEST_OUTPUT, found)
    picture = _cover(image[0], found[0], rule, is_multi_label(model, network.num_classes))
    pictures.write_picture(folder / _COVER, picture)


def _test_image(model: Network, network: PackagedNetwork) -> np.ndarray:
    """Drawn cells (1, S, S, C) with the values of stored images; they fit into one tile."""
    side = max(min(_TEST_SIDE, *network.geometry.output), _LEAST_TEST_SIDE)
    cells = [generate_cells(side, seed=seed)[0] for seed in range(network.channels)]
    values = np.stack(cells, axis=-1)[np.newaxis] / 255.0
    known = constants(model)
    if network.is_raw and known and network.percentiles is None:
        values = (values - values.mean()) / values.std() * known["std"] + known["mean"]
    return (values * network.stored_maximum).astype(np.float32)


def _cover(
    image: np.ndarray, found: np.ndarray, rule: MaskRule | InstanceRule, multi_label: bool
) -> np.ndarray:
    """Image and result side by side, twice as wide as high."""
    if isinstance(rule, InstanceRule):
        labels = rule.instances(found)
    elif multi_label:
        labels = to_class_ids(found[..., :1], rule.threshold)
    else:
        labels = rule.class_ids(found)
    times = max(1, _COVER_SIDE // len(image))
    both = np.hstack([pictures.to_rgb(image), pictures.mask_picture(labels)])
    return both.repeat(times, axis=0).repeat(times, axis=1)


def _channel_names(card: ModelCard, rule: MaskRule | InstanceRule) -> list[str]:
    if isinstance(rule, InstanceRule) and card.num_classes == 2:
        return ["foreground", "core"]
    names = card.classes or []
    return names[1:] if card.num_classes == 1 else names


def _write_package(
    spec: Any,
    path: Path,
    folder: Path,
    text: PackageText,
    network: PackagedNetwork,
    channel_names: list[str],
) -> None:
    v0_5 = spec.model.v0_5
    try:
        package = v0_5.ModelDescr(
            name=text.name,
            description=text.description,
            authors=[v0_5.Author(name=name) for name in text.authors],
            license=text.license,
            cite=[
                v0_5.CiteEntry(text=paper.text, doi=paper.doi)
                for paper in papers_of(text.architecture)
            ],
            tags=["segmentation", "semantic-segmentation", "unet", "2d", "tensorflow"],
            documentation=v0_5.FileDescr(source=folder / _README),
            covers=[v0_5.FileDescr(source=folder / _COVER)],
            attachments=[v0_5.FileDescr(source=folder / _CARD)],
            inputs=[_input(v0_5, folder, network)],
            outputs=[_output(v0_5, folder, channel_names)],
            weights=_weights(v0_5, folder),
        )
        spec.save_bioimageio_package(package, output_path=path)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise InputError(f"{place}: {printable(problem['msg'])}") from error


def _input(v0_5: Any, folder: Path, network: PackagedNetwork) -> Any:
    side = np.load(folder / _TEST_INPUT).shape[1]
    size = v0_5.ParameterizedSize(min=min(_SMALLEST, side), step=1)
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId(INPUT),
        description=network.values,
        axes=[
            v0_5.BatchAxis(),
            *(v0_5.SpaceInputAxis(id=v0_5.AxisId(axis), size=size) for axis in "yx"),
            v0_5.ChannelAxis(channel_names=[f"channel{i}" for i in range(network.channels)]),
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=v0_5.FileDescr(source=folder / _TEST_INPUT),
    )


def _output(v0_5: Any, folder: Path, channel_names: list[str]) -> Any:
    def size(axis: str) -> Any:
        return v0_5.SizeReference(tensor_id=v0_5.TensorId(INPUT), axis_id=v0_5.AxisId(axis))

    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId(OUTPUT),
        description="The probability of each class at each pixel.",
        axes=[
            v0_5.BatchAxis(),
            *(v0_5.SpaceOutputAxis(id=v0_5.AxisId(axis), size=size(axis)) for axis in "yx"),
            v0_5.ChannelAxis(channel_names=channel_names),
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
        test_tensor=v0_5.FileDescr(source=folder / _TEST_OUTPUT),
    )


def _weights(v0_5: Any, folder: Path) -> Any:
    version = ".".join(map(str, numbers(tf.__version__)))
    entries = {
        "tensorflow_saved_model_bundle": v0_5.TensorflowSavedModelBundleWeightsDescr(
            source=folder / _GRAPH, tensorflow_version=v0_5.Version(version)
        )
    }
    if (folder / _ONNX).exists():
        entries["onnx"] = v0_5.OnnxWeightsDescr(
            source=folder / _ONNX, opset_version=OPSET, parent="tensorflow_saved_model_bundle"
        )
    return v0_5.WeightsDescr(**entries)
