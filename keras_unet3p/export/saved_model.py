"""SavedModel for TensorFlow Serving: one frozen graph that segments images of any size."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from keras_unet3p.artifacts import CardNormalization
from keras_unet3p.artifacts.model_card import CARD_FILE, GRAPH_FILE
from keras_unet3p.artifacts.model_versions import check_version, new_version
from keras_unet3p.errors import InputError
from keras_unet3p.export.cards import model_card
from keras_unet3p.export.golden import add_golden_pairs
from keras_unet3p.export.graph_checks import checked_input, checked_pixels
from keras_unet3p.export.image_decoder import ImageDecoder
from keras_unet3p.export.warmup import warmup_record
from keras_unet3p.files import locked, printable, remove_unfinished, replacing
from keras_unet3p.graphs.freezing import GRAPH_LIMIT, freeze_network
from keras_unet3p.graphs.network import Network
from keras_unet3p.graphs.network_geometry import network_facts
from keras_unet3p.images.unit_values import VALUE_SCALES
from keras_unet3p.layers.intensity_normalization import normalizations
from keras_unet3p.postprocessing import InstanceRule
from keras_unet3p.progress import Report
from keras_unet3p.targets.instances import INSTANCE_MAPS
from keras_unet3p.tiling.in_graph_tiler import InGraphTiler
from keras_unet3p.tiling.tile_choice import model_geometry

_LARGEST_SET = 16
"""Number of classes that a 16-bit pixel of a PNG can hold as a set, one bit per class."""
_PREDICT = "tensorflow/serving/predict"
PROBABILITIES_OF_BYTES = "probabilities_of_bytes"
INSTANCES = "instances"
INSTANCES_OF_BYTES = "instances_of_bytes"
"""The signatures of a model that tells instances apart."""
_SIGNATURES = 5  # of every model
_MOST_IN_PNG = 65535
STRETCHED_TILE = "stretched_tile"
"""Name of the tiles' input if a model has each whole image stretched before."""

Specs: TypeAlias = dict[str, tuple[tuple[int | None, ...], tf.DType]]
SignatureFunctions: TypeAlias = dict[str, tuple[Callable[..., dict], Specs]]


def export_savedmodel(
    model: Network,
    folder: str | os.PathLike,
    *,
    tile_size: int | tuple[int, int] = 512,
    halo: int | str | None = None,
    blend: int | None = None,
    border: int = 0,
    version: int | None = None,
    activation: str | None = "auto",
    threshold: float = 0.5,
    value_scale: str = "unit",
    input_dtype: str = "uint8",
    max_pixels: int = 2**28,
    max_batch_pixels: int | None = None,
    batch_size: int = 1,
    skip_empty: bool = True,
    test_time_augmentation: int = 1,
    instances: InstanceRule | None = None,
    golden_pairs: bool = False,
    classes: Sequence[str] | None = None,
    training_metrics: dict | None = None,
    progress: Report | None = None,
) -> Path:
    """Write `model` as a SavedModel that segments images of any size in its graph.

    The weights are constants of the graph and are stored once. The signatures are as follows; the
    first dimension is always the batch:

    | signature | input | output |
    | --- | --- | --- |
    | serving_default | image_bytes string [B], PNG JPEG BMP | mask_bytes string [B], PNG of ids |
    | classes | image `input_dtype` [B, H, W, C] | class_ids uint8 [B, H, W] |
    | probabilities | image `input_dtype` [B, H, W, C] | probabilities float32 [B, H, W, K] |
    | probabilities_of_bytes | image_bytes string [B] | probability_bytes string [B, K] |
    | tile | tile float32 [B, T, T, C] in unit values | probabilities float32 [B, T', T', K] |
    | instances | image `input_dtype` [B, H, W, C] | instance_ids int32 [B, H, W], count int32 [B] |
    | instances_of_bytes | image_bytes string [B] | instance_bytes string [B], count int32 [B] |

    `probability_bytes` are PNGs of 8 bits, one per class: probabilities times 255, rounded, and
    in a JSON answer a twentieth of what the floats are, or less.

    The last two are there with `instances`, for a network that tells instances apart. Ids run
    from 1 to `count`, 0 is the background; those of an image are made of the maps of the whole
    image, so that tiles cut no instance. `instance_bytes` are PNGs of 16 bits; an image of more
    than 65,535 instances is refused. Such a model's class ids are 0 and 1, by the foreground.

    Class ids are 0 to K-1; for a model with one class they are 0 and 1, by `threshold`. They are
    the network's: what else was chosen to follow it (a smallest object, a largest hole) is in the
    model card as `training.postprocessing`, for `postprocessing.MaskRule.cleaned` to apply to the
    answer, and touching instances are told apart by `postprocessing.label_instances`. For more
    than 256 classes `class_ids` is int32 (TensorFlow Serving's JSON has no uint16) and the PNG has
    16 bits.

    Where classes may overlap (several classes, one sigmoid per class), `class_ids` is one map per
    class, uint8 [B, H, W, K] of 0 and 1. The PNG in `mask_bytes` then holds the set of classes of
    each pixel as the sum of 2**k: 8 bits for up to 8 classes, 16 bits for up to 16. For more
    classes `serving_default` fails with an error that names the other signatures.

    Servers do not check inputs. So the graph itself refuses inputs whose shape is not the declared
    one, and images that are too large, with INVALID_ARGUMENT and before it computes anything.

    Args:
        model: a Keras model that takes (B, h, w, C) float32 in unit values.
        folder: base folder of the model. The version folder is made in it under a temporary name
            and renamed when it is complete.
        tile_size: side of the tile in pixels; see `tiling.model_geometry`.
        halo: pixels of context around each tile that are not kept; see `tiling.model_geometry`.
        blend: width of the cross-fade between tiles. None is as wide as the halo allows, 0 is none.
        border: pixels mirrored around the image in addition to an unpadded network's margin; see
            `tiling.model_geometry`.
        version: number of the version, 1 to 2^63 - 1. None takes the next free one.
        activation: "sigmoid" or "softmax" for a model that gives logits, None for one that gives
            probabilities. "auto" asks this package's models and assumes probabilities for others.
        threshold: for one class, a pixel belongs to class 1 if its probability is at least this.
            Where classes may overlap, the same holds for each class.
        value_scale: "unit": integers are divided by the largest value of their type before they
            reach the model. "raw": the model was trained on values as they are in the files, and
            `input_dtype` must be "float32". Encoded images then reach it as 0..255 (8 bit) or
            0..65535 (16 bit). For the graph the other rules of `images.Normalization` are "unit";
            the model card holds them for programs that read files.
        input_dtype: type of the pixels in "classes" and "probabilities": "uint8", or "float32" for
            the values that the model takes.
        max_pixels: images with more pixels are refused, encoded ones before they are decoded.
        max_batch_pixels: requests whose images or tiles have more pixels together are refused. If
            the server merges requests, this holds for the merged ones. None takes `max_pixels`. It
            does not apply to encoded images, which are segmented one after another.
        batch_size: number of tiles in one call of the network.
        skip_empty: with a classification-guided module, skip the decoder for tiles in which the
            module finds no class. The module decides for each tile separately, as it did for each
            patch in training.
        test_time_augmentation: the image signatures average over 2, 4 or 8 flipped and transposed
            versions of each tile; see `tiling.InGraphTiler`. "tile" is not changed.
        instances: the rule that makes instances of a network's two maps, foreground and core, each
            a sigmoid (`targets.instance_maps`), or of its one map; its threshold is that of the
            mask. None gives no instances.
        golden_pairs: whether to ask each signature once and keep requests and answers in the
            version folder, for `workflow.verify`; `unet3p export` does so.
        classes: one name per class, for the model card.
        training_metrics: JSON-serialisable values about the training, for the model card.
        progress: called with how many steps are done, and how many there are.

    Returns:
        The version folder, `folder/VERSION`.

    Raises:
        ValueError: if an argument does not fit the model, the weights exceed 2 GB or are not
            finite, that version exists, or another process exports to `folder`.

    Example:
        >>> from keras_unet3p.models import unet
        >>> model = unet(filters=2, depth=1)
        >>> export_savedmodel(model, "models/cells", tile_size=64)  # doctest: +SKIP
        PosixPath('models/cells/1')
    """
    _check_values(value_scale, input_dtype, threshold, max_batch_pixels)
    if version is not None:
        check_version(version)
    geometry = model_geometry(model, tile_size, halo, blend=blend, border=border)
    facts = network_facts(model)
    channels = facts.channels
    report = progress or (lambda done, total: None)
    steps = 2 + (_SIGNATURES + 2 * (instances is not None) if golden_pairs else 0)
    report(0, steps)
    frozen = freeze_network(
        model, geometry.tile, channels, activation=activation, skip_empty=skip_empty
    )
    report(1, steps)
    num_classes = facts.num_classes
    multi_label = facts.is_multi_label(activation)
    if instances is not None:
        _check_maps(num_classes, multi_label, threshold, instances)

    limits = PixelLimits(max_pixels, max_batch_pixels or max_pixels)
    tiler = InGraphTiler(
        frozen,
        geometry,
        num_classes,
        batch_size=batch_size,
        threshold=threshold,
        multi_label=multi_label,
        instances=instances,
        test_time_augmentation=test_time_augmentation,
        percentiles=facts.percentiles,
        is_raw=value_scale == "raw",
    )
    decoder = ImageDecoder(channels, max_pixels, "raw" if value_scale == "raw" else "unit")

    base = Path(folder)
    with locked(base / ".lock", f"model folder {printable(base)}"):
        remove_unfinished(base)
        final = new_version(base, version)
        with replacing(final) as working:
            functions = _signature_functions(
                tiler, decoder, channels, tf.as_dtype(input_dtype), limits
            )
            write_graph(working, functions)
            report(2, steps)
            extra = working / "assets.extra"
            extra.mkdir()
            _write_warmup(extra, base.name, tiler, channels, input_dtype, limits)
            if instances is not None:
                chosen = {"postprocessing": instances.to_dict()}
                training_metrics = chosen | (training_metrics or {})
            card = model_card(
                model,
                geometry,
                num_classes,
                channels,
                [working / GRAPH_FILE],
                classes=classes,
                training_metrics=training_metrics,
                whole_images={
                    "threshold": threshold if tiler.has_threshold else None,
                    "multi_label": multi_label,
                    "normalization": CardNormalization(
                        value_scale=value_scale, input_dtype=input_dtype, **constants(model)
                    ),
                    "max_pixels": limits.image,
                    "max_batch_pixels": limits.batch,
                    "test_time_augmentation": test_time_augmentation,
                },
            )
            card.write(working / CARD_FILE)
            if golden_pairs:
                add_golden_pairs(
                    working, card, geometry.tile, lambda asked: report(2 + asked, steps)
                )
            report(steps, steps)
    return final


class PixelLimits(NamedTuple):
    """Largest number of pixels of one image, and of all images of a request."""

    image: int
    batch: int


def _check_values(
    value_scale: str, input_dtype: str, threshold: float, max_batch_pixels: int | None
) -> None:
    if value_scale not in VALUE_SCALES:
        accepted = ", ".join(map(repr, VALUE_SCALES))
        raise InputError(f"value_scale must be one of {accepted}, found {value_scale!r}")
    if input_dtype not in ("uint8", "float32"):
        raise InputError(f"input_dtype must be 'uint8' or 'float32', found {input_dtype!r}")
    if value_scale == "raw" and input_dtype != "float32":
        raise InputError(f"value_scale='raw' needs input_dtype='float32', found {input_dtype!r}")
    if not 0.0 < threshold <= 1.0:
        raise InputError(f"threshold must be above 0 and at most 1, found {threshold}")
    if max_batch_pixels is not None and max_batch_pixels < 1:
        raise InputError(f"max_batch_pixels must be at least 1, found {max_batch_pixels}")


def _check_maps(num_classes: int, multi_label: bool, threshold: float, rule: InstanceRule) -> None:
    if num_classes != 1 and not (num_classes == INSTANCE_MAPS and multi_label):
        raise InputError(
            f"instances: {num_classes} classes {'that may overlap' if multi_label else ''}; "
            "expected a network of 2 with a sigmoid each, foreground and core, or of 1"
        )
    if threshold != rule.threshold:
        raise InputError(
            f"threshold is {threshold} and that of instances {rule.threshold}; expected the same"
        )


def constants(model: Network) -> dict:
    """Mean and standard deviation with which the network normalises its input."""
    for layer in normalizations(model):
        found: dict = {"mean": list(layer.mean), "std": list(layer.std)}
        if layer.percentiles is not None:
            found["percentiles"] = list(layer.percentiles)
        return found
    return {}


def _signature_functions(
    tiler: InGraphTiler,
    decoder: ImageDecoder,
    channels: int,
    input_dtype: tf.DType,
    limits: PixelLimits,
) -> SignatureFunctions:
    """The function of each signature, and the shapes and types of its inputs."""
    ids_of_png = tf.uint8 if tiler.ids_dtype == tf.uint8 else tf.uint16

    def segment(encoded: tf.Tensor) -> tf.Tensor:
        ids = tiler.class_ids(decoder(encoded)[tf.newaxis])[0]
        if tiler.multi_label:
            return tf.io.encode_png(_as_sets(ids))
        return tf.io.encode_png(tf.cast(ids[:, :, tf.newaxis], ids_of_png))

    def serve(image_bytes: tf.Tensor) -> dict:
        masks = tf.map_fn(
            segment, image_bytes, fn_output_signature=tf.string, parallel_iterations=1
        )
        return {"mask_bytes": masks}

    def numbered(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ids = tiler.instances(decoder(encoded)[tf.newaxis])[0]
        count = tf.reduce_max(ids)
        fits = tf.debugging.Assert(
            count <= _MOST_IN_PNG,
            [
                f"more than {_MOST_IN_PNG} instances do not fit into a PNG; "
                f"use the signature {INSTANCES!r}",
                count,
            ],
        )
        with tf.control_dependencies([fits]):
            png = tf.io.encode_png(tf.cast(ids[:, :, tf.newaxis], tf.uint16))
        return png, count

    def serve_instances(image_bytes: tf.Tensor) -> dict:
        pngs, counts = tf.map_fn(
            numbered,
            image_bytes,
            fn_output_signature=(tf.string, tf.int32),
            parallel_iterations=1,
        )
        return {"instance_bytes": pngs, "count": counts}

    def instances(image: tf.Tensor) -> dict:
        ids = tiler.instances(checked_pixels(image, *limits))
        return {"instance_ids": ids, "count": tf.reduce_max(ids, axis=(1, 2))}

    def classes(image: tf.Tensor) -> dict:
        return {"class_ids": tiler.class_ids(checked_pixels(image, *limits))}

    def probabilities(image: tf.Tensor) -> dict:
        return {"probabilities": tiler.probabilities(checked_pixels(image, *limits))}

    def drawn(encoded: tf.Tensor) -> tf.Tensor:
        maps = tiler.probabilities(decoder(encoded)[tf.newaxis])[0]
        levels = tf.transpose(tf.cast(tf.round(maps * 255.0), tf.uint8), [2, 0, 1])
        return tf.map_fn(
            tf.io.encode_png, tf.expand_dims(levels, -1), fn_output_signature=tf.string
        )

    def serve_probabilities(image_bytes: tf.Tensor) -> dict:
        one_per_class = tf.TensorSpec((tiler.num_classes,), tf.string)
        pngs = tf.map_fn(
            drawn, image_bytes, fn_output_signature=one_per_class, parallel_iterations=1
        )
        return {"probability_bytes": pngs}

    def tile(**tiles: tf.Tensor) -> dict:
        (given,) = tiles.values()
        return {"probabilities": tiler.network(checked_pixels(given, *tile_limits))}

    # One tile is always accepted, however small the limits for images are.
    tile_limits = [max(limit, math.prod(tiler.geometry.tile)) for limit in limits]
    image_spec = {"image": ((None, None, None, channels), input_dtype)}
    tile_spec = {_tile_input(tiler): ((None, *tiler.geometry.tile, channels), tf.float32)}
    bytes_spec: Specs = {"image_bytes": ((None,), tf.string)}
    functions: SignatureFunctions = {
        "serving_default": (serve, bytes_spec),
        "classes": (classes, image_spec),
        "probabilities": (probabilities, image_spec),
        PROBABILITIES_OF_BYTES: (serve_probabilities, bytes_spec),
        "tile": (tile, tile_spec),
    }
    if tiler.instance_rule is not None:
        functions[INSTANCES] = (instances, image_spec)
        functions[INSTANCES_OF_BYTES] = (serve_instances, bytes_spec)
    return functions


def _tile_input(tiler: InGraphTiler) -> str:
    """The name of the tiles: one that tells whoever cuts images up what has to be done before."""
    return "tile" if tiler.percentiles is None else STRETCHED_TILE


def write_graph(folder: Path, functions: SignatureFunctions) -> None:
    """Write a SavedModel with these signatures."""
    signatures = {}
    with tf.Graph().as_default() as graph:
        for name, (function, specs) in functions.items():
            inputs, checked = {}, {}
            for key, (shape, dtype) in specs.items():
                inputs[key], checked[key] = checked_input(dtype, shape, f"{name}_{key}")
            outputs = {
                key: tf.identity(value, name=f"{name}_{key}_out")
                for key, value in function(**checked).items()
            }
            info = tf.compat.v1.saved_model.build_tensor_info
            signatures[name] = tf.compat.v1.saved_model.build_signature_def(
                {key: info(value) for key, value in inputs.items()},
                {key: info(value) for key, value in outputs.items()},
                _PREDICT,
            )
    size = graph.as_graph_def().ByteSize()
    if size > GRAPH_LIMIT:
        raise InputError(f"the frozen graph must be below 2 GB, found {size / 2**30:.2f} GiB")
    with tf.compat.v1.Session(graph=graph) as session:
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session, ["serve"], signature_def_map=signatures, strip_default_attrs=True
        )
        builder.save()


def _as_sets(maps: tf.Tensor) -> tf.Tensor:
    """Convert one map of 0 and 1 per class, (H, W, K), to sums of 2**k, (H, W, 1)."""
    count = int(maps.shape[-1] or 0)
    if count > _LARGEST_SET:
        refuse = tf.debugging.Assert(
            False,
            [
                f"the masks of {count} classes that may overlap do not fit into a PNG; use the "
                "signature classes or probabilities"
            ],
        )
        with tf.control_dependencies([refuse]):
            maps = tf.identity(maps[:, :, :_LARGEST_SET])
    bits = tf.constant([2**k for k in range(min(count, _LARGEST_SET))], tf.int32)
    sums = tf.reduce_sum(tf.cast(maps, tf.int32) * bits, axis=-1, keepdims=True)
    return tf.cast(sums, tf.uint8 if count <= 8 else tf.uint16)


def _write_warmup(
    folder: Path,
    model_name: str,
    tiler: InGraphTiler,
    channels: int,
    input_dtype: str,
    limits: PixelLimits,
) -> None:
    side = min(32, math.isqrt(min(limits)))  # a refused record would prevent loading
    grey = np.full((side, side, 1 if channels != 3 else 3), 128, np.uint8)
    image = np.zeros((1, side, side, channels), input_dtype)
    records = [
        ("classes", {"image": image}),
        ("probabilities", {"image": image}),
        ("tile", {_tile_input(tiler): np.zeros((1, *tiler.geometry.tile, channels), np.float32)}),
    ]
    answers = not tiler.multi_label or tiler.num_classes <= _LARGEST_SET
    if channels in (1, 2, 3, 4):
        png = tf.io.encode_png(grey if channels in (1, 3) else image.astype(np.uint8)[0])
        encoded = {"image_bytes": tf.reshape(png, (1,))}
        records.append((PROBABILITIES_OF_BYTES, encoded))
        if answers:
            records.insert(0, ("serving_default", encoded))
        if tiler.instance_rule is not None:
            records.append((INSTANCES_OF_BYTES, encoded))
    if tiler.instance_rule is not None:
        records.append((INSTANCES, {"image": image}))
    path = folder / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in records:
            writer.write(warmup_record(model_name, signature, inputs))
