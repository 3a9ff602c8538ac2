"""The model class: a functional Keras model that knows how its heads are trained."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import os
from typing import Any

import keras
import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.errors import InputError
from keras_unet3p.geometry import NetworkFacts
from keras_unet3p.layers import InputSize, PadToMultiple, SegmentationOutput
from keras_unet3p.layers.intensity_normalization import image_percentiles, takes_raw_values
from keras_unet3p.models import weight_files
from keras_unet3p.models.blueprint import Blueprint
from keras_unet3p.models.compile_checks import check_compiled, loss_named
from keras_unet3p.postprocessing.class_ids import is_foreground
from keras_unet3p.targets.masks import mask_with_channels, per_class_maps
from keras_unet3p.targets.sample_weights import split_sample_weight, weight_of_known_shape


@compat.register
class SegmentationModel(keras.Model):
    """A functional model that trains all its heads on one mask per image.

    `SegmentationModel(inputs, outputs)` takes one input (B, H, W, C) and either one output, the
    mask (B, h, w, K), or a dict of outputs: "mask", side masks named "mask_...", all of the mask's
    size, and "presence", which classes the image holds, (B, K), or (B, 2) (absent, present) for
    one class. The builders of this package make such models; nobody has to handle the heads.

    - `model(x)`, `predict`, and the model as a part of another one give the final mask only.
      `model(x, training=True)` gives the dict of all heads.
    - `compile` takes one loss. In training it is applied to every head, times the head's weight
      (`head_weights`), and binary cross-entropy on the presence head is added, whose labels are
      derived from the mask: a class is present where any of its pixels is set. Pixels that the
      loss ignores (its `ignore_class`) or that weigh 0 are not looked at, an image without others
      does not count, and weights of whole images apply.
    - In `evaluate` and in validation the loss is the same sum, over the heads of the network as it
      is in inference: `loss` and `val_loss` can be compared. Metrics see the final mask only.
    - Masks are class ids (B, H, W) or (B, H, W, 1), or a map per class (B, H, W, K). Sample
      weights are one per image (B,), or a weight map (B, H, W) or (B, H, W, 1). Masks and maps are
      cropped around the centre to the size of an unpadded network's output. Class ids out of range
      and weights that are negative or not finite are refused, as by this package's losses.
    - `compile` takes the losses of this package by name too: "keras_unet3p>HybridLoss",
      "keras_unet3p>Dice". (A plain `keras.Model` of Keras 3 knows Keras's own names only.)
    - `compile` switches XLA on where it pays: not on a CPU. Pass `jit_compile` to decide yourself.

    Example:
        >>> model = ku.models.unet3plus((32, 32, 1), filters=4, depth=2, deep_supervision=True)
        >>> model.compile("adam", loss=ku.losses.HybridLoss(), metrics=[ku.metrics.Dice()])
        >>> model.head_weights
        {'mask': 1.0, 'mask_d2': 1.0, 'mask_e3': 1.0}
        >>> model(np.zeros((1, 32, 32, 1))).shape.as_list()
        [1, 32, 32, 1]
        >>> model.architecture, model.size_divisor
        ('unet3plus', 4)
    """

    # No constructor: Keras then builds and saves this class as it does a functional model.

    _all_heads = False  # whether a call in inference gives them, as `test_step` wants
    blueprint: Blueprint | None = None
    """What a builder has built the network as; saved with the model."""

    # What the network is.

    @property
    def architecture(self) -> str | None:
        """Name of the builder in `models.ARCHITECTURES`; None of a model that none has built."""
        return self.blueprint.architecture if self.blueprint else None

    @property
    def options(self) -> dict[str, Any]:
        """The builder's arguments, defaults included; empty of a model that no builder has built.

        They are a copy, made of what JSON knows: a sequence is a list, an initializer its Keras
        configuration, `normalization` a mapping, and `input_shape` is that of `input_tensor` where
        this was given. `ARCHITECTURES[model.architecture](**model.options)` builds another one.
        """
        return copy.deepcopy(dict(self.blueprint.options)) if self.blueprint else {}

    @property
    def features(self) -> dict[str, Any]:
        """The network's Keras tensors by name: of inner stages ("e1", "d1", ...) and of the heads.

        The builder's docstring lists them. Of them new models can be made:
        `keras.Model(model.input, model.features["d1"])`.
        """
        if self.blueprint is None:
            return {}
        return self.blueprint.find_features(self.outputs)

    @property
    def head_weights(self) -> dict[str, float]:
        """Weight of each head in the training loss, by output name. Set it before `compile`."""
        return {name: layer.loss_weight for name, layer in self._head_layers().items()}

    @head_weights.setter
    def head_weights(self, weights: dict[str, float]):
        layers = self._head_layers()
        for name, weight in weights.items():
            if name not in layers:
                raise InputError(
                    f"head_weights: no head is called {name!r}; this model has {list(layers)}"
                )
            layers[name].loss_weight = float(weight)

    @property
    def num_classes(self) -> int:
        """Channels of the mask."""
        return self._final(self.output).shape[-1]

    @property
    def classifier_activation(self) -> str | None:
        """ "sigmoid", "softmax", or None where the mask holds logits.

        Raises:
            AttributeError: a layer of the caller's own makes the mask, which nobody can know.
        """
        mask = self._head_layers().get("mask")
        if mask is None:
            raise AttributeError(
                f"classifier_activation: the mask of model {self.name!r} is made by a layer other "
                "than layers.SegmentationOutput, whose activation is not known here"
            )
        return mask.activation

    @property
    def size_divisor(self) -> int:
        """Image sizes that fit are `size_divisor * k + size_offset`, from `minimum_size` on."""
        return self._input_size().divisor

    @property
    def size_offset(self) -> int:
        """See `size_divisor`."""
        return self._input_size().offset

    @property
    def minimum_size(self) -> int:
        """The smallest height and width, in pixels, that the network takes."""
        return self._input_size().minimum

    @property
    def margin(self) -> int:
        """Pixels that the mask lacks on each side of the image; 0 for padded networks."""
        return self._input_size().margin

    @property
    def facts(self) -> NetworkFacts | None:
        """What tilers and exporters need to know; None where no layer tells it.

        That is a model of the caller's own tensors, without this package's input layers.
        """
        size = next((layer for layer in self.layers if isinstance(layer, InputSize)), None)
        padded = next((layer for layer in self.layers if isinstance(layer, PadToMultiple)), None)
        if size is None and padded is None:
            return None
        _, height, width, channels = self.inputs[0].shape
        return NetworkFacts(
            channels=channels,
            num_classes=self.num_classes,
            activation=getattr(self, "classifier_activation", "unknown"),
            divisor=self.size_divisor,
            offset=self.size_offset,
            minimum=self.minimum_size,
            margin=self.margin,
            grid=math.lcm(self.size_divisor, padded.multiple if padded else 1),
            padding="zeros" if padded else "mirror",
            fixed_size=None if None in (height, width) else (height, width),
            percentiles=image_percentiles(self),
            is_raw=takes_raw_values(self),
        )

    def nearest_sizes(self, size: int) -> tuple[int, int]:
        """The next fitting sizes below and above `size` pixels; the same where it fits."""
        return self._input_size().nearest(size)

    # How it is run.

    def call(self, inputs, training=None, mask=None):
        return self._heads(super().call(inputs, training=training, mask=mask), training)

    def compute_output_spec(self, inputs, training=None, mask=None):
        outputs = super().compute_output_spec(inputs, training=training, mask=mask)
        return self._heads(outputs, training)

    def _heads(self, outputs, training):
        return outputs if training or self._all_heads else self._final(outputs)

    # How it is kept.

    def get_config(self):
        config = super().get_config()
        if self.blueprint is not None:
            config["blueprint"] = self.blueprint.get_config()
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        blueprint = config.pop("blueprint", None)  # absent in files of earlier versions
        model = super().from_config(config, custom_objects)
        if blueprint is not None:
            model.blueprint = Blueprint.from_config(blueprint)
            if model.blueprint.options.get("batch_norm_synchronized"):
                compat.synchronize(model)
        return model

    def save(self, filepath, *args, **kwargs):
        """As `keras.Model.save`.

        Raises:
            ValueError: HDF5, from which Keras loads only its own classes.
        """
        name = os.fspath(filepath) if isinstance(filepath, (str, os.PathLike)) else ""
        if str(name).endswith((".h5", ".hdf5")) or kwargs.get("save_format") in ("h5", "hdf5"):
            raise InputError(
                f"filepath: a model of this package cannot be loaded from HDF5, found {filepath}; "
                "give a name that ends in .keras, or save the weights alone with "
                "model.save_weights('NAME.weights.h5')"
            )
        return super().save(filepath, *args, **kwargs)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """As `keras.Model.load_weights`, with layers found by their names.

        So the weights of a network with further heads, or of a UNet++ before it was pruned, can be
        loaded into one without.

        Args:
            filepath: `.weights.h5` or `.keras`.
            skip_mismatch: leave layers as they are whose weights are not in the file or of another
                shape.
            **kwargs: as in Keras.

        Raises:
            ValueError: the file lacks weights of a layer, or has them in another shape.
        """
        with weight_files.arranged_for(self, filepath, complete=not skip_mismatch) as path:
            return super().load_weights(path, skip_mismatch=skip_mismatch, **kwargs)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store[weight_files.KEY] = weight_files.record(self)

    def load_own_variables(self, store):
        keys = list(store.keys())
        super().load_own_variables({key: store[key] for key in keys if key != weight_files.KEY})
        if weight_files.KEY in keys:
            found = weight_files.read_record(store[weight_files.KEY])
            own = weight_files.read_record(weight_files.record(self))
            weight_files.check_same(found, own, self.name)

    # How it is trained.

    def compile(self, *args, **kwargs):
        """As `keras.Model.compile`, with one loss for all heads and metrics of the final mask.

        Raises:
            ValueError: `loss` is a list or dict by output, or a loss or metric of this package
                does not fit `classifier_activation`: `from_logits=True` belongs to None, and for
                several classes `multi_label=True` to "sigmoid".
        """
        # The two Keras order the arguments differently.
        call = inspect.signature(keras.Model.compile).bind(self, *args, **kwargs)
        given = call.arguments
        loss = given.get("loss")
        if isinstance(loss, (dict, list, tuple)):
            raise InputError(
                "compile: expected one loss, which is applied to every head with its weight in "
                f"model.head_weights, found {loss!r}"
            )
        if isinstance(loss, str):
            given["loss"] = loss_named(loss)
        mask = self._head_layers().get("mask")
        if mask is not None:  # else a layer of the caller's own makes the mask
            for argument in ("loss", "metrics", "weighted_metrics"):
                found = given.get(argument)
                check_compiled(argument, found, mask.activation, self.num_classes)
        given.setdefault("jit_compile", compat.default_jit_compile())
        # Loss and metrics see the final mask, as if it were the only output.
        with compat.known_by_first_output(self):
            super().compile(*call.args[1:], **call.kwargs)
        compat.keep_step_logs(self)
        channels = self._final(self.output).shape[-1]
        with self.distribute_strategy.scope():
            for metric in tf.nest.flatten([given.get("metrics"), given.get("weighted_metrics")]):
                if hasattr(metric, "make_counts"):  # else in the first step, traced twice then
                    metric.make_counts(channels)

    def compile_from_config(self, config):
        # Keras leaves a loaded model uncompiled where compile() is overridden.
        self.compile(**keras.saving.deserialize_keras_object(config))
        compat.build_optimizer(self)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        _refuse_class_weight(keras.Model.fit, self, *args, **kwargs)
        compat.build_optimizer(self)
        return super().fit(*args, **kwargs)

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args, **kwargs):
        _refuse_class_weight(keras.Model.train_on_batch, self, *args, **kwargs)
        compat.build_optimizer(self)
        return super().train_on_batch(*args, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):  # of Keras 3
        compat.symbolic_build(self, super(), iterator, data_batch)

    def train_step(self, data):
        logs = super().train_step(data)
        compat.share_statistics(self)
        return compat.step_logs(logs)

    def test_step(self, data):
        # What is called the loss in validation is what is called so in training: that of all heads.
        self._all_heads = True
        try:
            return compat.step_logs(super().test_step(data))
        finally:
            self._all_heads = False

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        final = self._final(y_pred)
        if y is not None:
            y, sample_weight = _match(y, sample_weight, final, self.margin)
        extra = []
        if isinstance(y_pred, dict) and y is not None:
            weights = self.head_weights
            presence, presence_layer = y_pred.get("presence"), self._head_layers().get("presence")
            for name, prediction in y_pred.items():
                if name.startswith("mask_") and weights.get(name, 1.0):
                    value: Any = compat.head_loss(self, super(), y, prediction, sample_weight)
                    extra.append(tf.cast(value, tf.float32) * weights.get(name, 1.0))
            if presence is not None and weights.get("presence", 1.0):
                value = _presence_loss(
                    y,
                    presence,
                    sample_weight,
                    final,
                    activation=presence_layer.activation if presence_layer else "sigmoid",
                    ignore_class=_ignore_class(self.loss),
                )
                value = compat.scale_loss_for_distribution(value)
                extra.append(value * weights.get("presence", 1.0))
        return compat.compute_loss(self, super(), x, y, final, sample_weight, training, extra)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        final = self._final(y_pred)
        if y is not None:
            y, sample_weight = _match(y, sample_weight, final, self.margin)
        return super().compute_metrics(x, y, final, sample_weight)

    @staticmethod
    def _final(outputs):
        return outputs["mask"] if isinstance(outputs, dict) else outputs

    def _input_size(self) -> InputSize:
        for layer in self.layers:
            if isinstance(layer, InputSize):
                return layer
        return InputSize(1, minimum=1)

    def _head_layers(self) -> dict[str, SegmentationOutput]:
        outputs = self.output if isinstance(self.output, dict) else {"mask": self.output}
        layers = {name: compat.layer_of(tensor) for name, tensor in outputs.items()}
        return {n: layer for n, layer in layers.items() if isinstance(layer, SegmentationOutput)}


def _refuse_class_weight(method, *args, **kwargs) -> None:
    """Keras makes one weight per row of such masks, or fails with a message that does not help."""
    if inspect.signature(method).bind(*args, **kwargs).arguments.get("class_weight") is not None:
        raise InputError(
            "class_weight is for one label per image; for masks give the loss class_weights, as in "
            "losses.WeightedCrossEntropy(class_weights=[1.0, 5.0]), or each pixel its weight in a "
            "map (batch, height, width) as sample_weight"
        )


def _match(y, sample_weight, prediction, margin: int):
    """Mask as (B, h, w, K) and weight map as (B, h, w), of the prediction's height and width."""
    y = mask_with_channels(tf.convert_to_tensor(y), prediction, margin=margin)
    y = _center_crop(y, prediction, margin)
    if sample_weight is None:
        return y, None
    weight = weight_of_known_shape(sample_weight, prediction, margin=margin)
    if weight.shape.rank == 4:
        weight = _center_crop(tf.squeeze(weight, -1), prediction, margin)
    return y, weight


def _center_crop(tensor, prediction, margin: int):
    if not margin:
        return tensor
    height, width = tf.shape(prediction)[1], tf.shape(prediction)[2]
    top = (tf.shape(tensor)[1] - height) // 2
    left = (tf.shape(tensor)[2] - width) // 2
    cropped = tensor[:, top : top + height, left : left + width]
    cropped.set_shape((tensor.shape[0], *prediction.shape[1:3], *tensor.shape[3:]))
    return cropped


def _ignore_class(loss) -> int | None:
    """The value of pixels that a loss leaves out; Keras 2 keeps that of its own in the config."""
    return loss.get_config().get("ignore_class") if isinstance(loss, keras.losses.Loss) else None


def _presence_loss(
    y, presence, sample_weight, prediction, *, activation: str | None, ignore_class: int | None
):
    """Binary cross-entropy, averaged over images and presence outputs.

    y: (B, H, W, 1) ids or (B, H, W, K) maps. prediction: the final mask (B, H, W, K).
    """
    num_classes = prediction.shape[-1]
    truth, valid, poison = per_class_maps(y, num_classes, ignore_class)
    pixel_weights, images, weight_poison = split_sample_weight(sample_weight, prediction)
    pixels = tf.ones_like(truth[..., :1], tf.bool)
    for weights in (valid, pixel_weights):
        if weights is not None:
            pixels &= weights > 0.0
    labels = tf.reduce_any(is_foreground(truth) & pixels, axis=(1, 2))
    labels = tf.cast(labels, tf.float32)
    presence = tf.cast(presence, tf.float32)
    if num_classes == 1 and presence.shape[-1] == 2:
        labels = tf.concat([1 - labels, labels], axis=-1)
    if activation is None:
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, presence)
    else:
        tiny = keras.backend.epsilon()
        presence = tf.clip_by_value(presence, tiny, 1 - tiny)
        losses = -labels * tf.math.log(presence) - (1 - labels) * tf.math.log(1 - presence)
    counted = tf.cast(tf.reduce_any(pixels, axis=(1, 2, 3)), tf.float32)
    counted *= 1.0 if images is None else images
    value = tf.reduce_mean(tf.reduce_mean(losses, axis=-1) * counted)
    return value + poison + weight_poison
