"""The contracting paths: five named feature maps at strides 1, 2, 4, 8 and 16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import keras

from keras_unet3p import compat
from keras_unet3p.compat import inputs_of_last_call, register, stateful_random_layers
from keras_unet3p.errors import InputError
from keras_unet3p.layers import ImageNetInput, IntensityNormalization
from keras_unet3p.layers.saved_random_state import SavedRandomState
from keras_unet3p.models.arguments import NormalizationLike, resolve_normalization
from keras_unet3p.models.blocks import Blocks


@dataclass(frozen=True)
class _Application:
    """A network of `keras.applications`: where its maps of strides (1, 2,) 4, 8 and 16 are."""

    build: str
    input_mode: str
    taps: tuple[str, ...]
    before: bool = False
    """The taps name the layers that read the maps, not those that make them."""
    options: tuple[tuple[str, Any], ...] = ()


_OWN_PREPROCESSING_OFF = (("include_preprocessing", False),)

_APPLICATIONS = {
    "vgg16": _Application(
        "VGG16",
        "caffe",
        ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
    ),
    "vgg19": _Application(
        "VGG19",
        "caffe",
        ("block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4"),
    ),
    "resnet50": _Application(
        "ResNet50",
        "caffe",
        ("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out"),
    ),
    "resnet101": _Application(
        "ResNet101",
        "caffe",
        ("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block23_out"),
    ),
    "efficientnet_v2_s": _Application(
        "EfficientNetV2S",
        "efficientnet_v2",
        ("block1b_add", "block2d_add", "block3d_add", "block5i_add"),
        options=_OWN_PREPROCESSING_OFF,
    ),
    "efficientnet_v2_b0": _Application(
        "EfficientNetV2B0",
        "torch",
        ("block1a_project_activation", "block2b_add", "block3b_add", "block5e_add"),
        options=_OWN_PREPROCESSING_OFF,
    ),
    "mobilenet_v2": _Application(
        "MobileNetV2",
        "tf",
        (
            "block_1_expand_relu",
            "block_3_expand_relu",
            "block_6_expand_relu",
            "block_13_expand_relu",
        ),
    ),
    "convnext_tiny": _Application(
        "ConvNeXtTiny",
        "torch",
        tuple(f"convnext_tiny_downsampling_block_{stage}" for stage in range(3)),
        before=True,
        options=_OWN_PREPROCESSING_OFF,
    ),
}

ENCODERS = ("plain", *_APPLICATIONS)
"""Names that the builders take as `encoder`."""


def encoder_tensors(
    image,
    encoder: str = "plain",
    *,
    levels: Sequence[int] = (64, 128, 256, 512, 1024),
    encoder_weights: str | PathLike | None = None,
    encoder_trainable: bool = True,
    normalization: NormalizationLike | None = None,
    dropout: float = 0.0,
    blocks: Blocks | None = None,
) -> dict[str, Any]:
    """A contracting path on a Keras tensor.

    "plain" is the papers' own: two 3x3 convolutions a level with 2x2 max pooling between. The
    others are networks of `keras.applications`, a model named "encoder" within the model. Those
    whose first map is smaller than the image (all but VGG) get full-resolution levels of their own,
    two convolutions with `levels[0]` (and `levels[1]`) channels.

    Args:
        image: Keras tensor (B, H, W, C), unit intensities; H and W multiples of 16.
        encoder: one of `ENCODERS`.
        levels: channels of the plain encoder's levels, any number of them; of the other encoders
            only the levels of their own are taken, and there are always five.
        encoder_weights: "imagenet" (fetched by Keras), or the path of a weight file of the network
            without its top; None for random weights. Not for "plain".
        encoder_trainable: whether training changes the encoder; if not, its batch normalisation
            keeps its statistics too. Not for "plain".
        normalization: (mean, std), or an object with both. The other encoders normalise as they
            were trained (grey is repeated three times; other channel numbers go through a 1x1
            convolution first) unless they have random weights and this is given.
        dropout: rate at the end of the two last levels of the plain encoder.
        blocks: settings and name prefix of the plain convolutions.

    Returns:
        "e1", ... "e5": stride 1 to 16, finest first ("plain": as many as `levels`). Where the path
        itself has pooled a map, "e1_pool2", ... is the pooled one.

    Raises:
        ValueError: an argument.

    Example:
        >>> image = keras.Input((64, 64, 1))
        >>> tensors = ku.models.encoder_tensors(image, levels=(4, 8))
        >>> [(name, tuple(tensor.shape)) for name, tensor in tensors.items()]
        [('e1', (None, 64, 64, 4)), ('e1_pool2', (None, 32, 32, 4)), ('e2', (None, 32, 32, 8))]
    """
    blocks = blocks or Blocks()
    prefix = blocks.prefix
    constants = resolve_normalization(normalization)
    if encoder == "plain":
        if encoder_weights is not None or not encoder_trainable:
            raise InputError(
                "encoder_weights, encoder_trainable: the plain encoder has no ready weights; "
                f"name another encoder of {ENCODERS}"
            )
        x = image
        if constants is not None:
            x = IntensityNormalization(**constants, name=f"{prefix}normalization")(x)
        return _plain(x, levels, dropout, blocks)
    if encoder not in _APPLICATIONS:
        raise InputError(f"encoder: expected one of {ENCODERS}, found {encoder!r}")
    if len(levels) != 5:
        raise InputError(
            f"filters, depth: encoder {encoder!r} has five levels (depth 4), found {len(levels)}"
        )
    if constants is not None and encoder_weights is not None:
        raise InputError(
            f"normalization: encoder {encoder!r} with given weights normalises its input the way "
            "it was trained; leave normalization None"
        )
    application = _APPLICATIONS[encoder]
    x = image
    if constants is not None:
        x = IntensityNormalization(**constants, name=f"{prefix}normalization")(x)
    if x.shape[-1] not in (1, 3):
        x = blocks.conv(x, 3, 1, "encoder_channels", padding="same")
    mode = application.input_mode if constants is None else None
    x = ImageNetInput(mode, name=f"{prefix}encoder_input")(x)

    features = _features(
        encoder, encoder_weights, f"{prefix}encoder", blocks.batch_norm_synchronized
    )
    features.trainable = encoder_trainable
    maps = features(x)
    own = 5 - len(maps)
    tensors = _plain(x, levels[:own], 0.0, blocks) if own else {}
    return {**tensors, **{f"e{own + i}": tensor for i, tensor in enumerate(maps, 1)}}


def _plain(x, levels, dropout, blocks):
    tensors = {}
    for level, channels in enumerate(levels, 1):
        if level > 1:
            x = blocks.max_pool(x, 2, f"e{level - 1}_pool2")
            tensors[f"e{level - 1}_pool2"] = x
        x = blocks.conv_relu(x, channels, f"e{level}_1")
        x = blocks.conv_relu(x, channels, f"e{level}_2")
        if level >= len(levels) - 1:
            x = blocks.dropout(x, dropout, f"e{level}_dropout")
        tensors[f"e{level}"] = x
    return tensors


@register
class EncoderFeatures(SavedRandomState, keras.Model):
    """The part of a `keras.applications` network that makes the pyramid.

    It is saved by its name, not layer by layer: some of those networks hold operations that Keras
    2 cannot load again.
    """

    encoder: str
    synchronized: bool

    def get_config(self):
        return {
            "encoder": self.encoder,
            "name": self.name,
            "trainable": self.trainable,
            "synchronized": self.synchronized,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        synchronized = config.get("synchronized", False)  # absent in files of earlier versions
        features = _features(config["encoder"], None, config["name"], synchronized)
        features.trainable = config["trainable"]
        return features


def _features(encoder: str, weights, name: str, synchronized: bool) -> EncoderFeatures:
    application = _APPLICATIONS[encoder]
    build = getattr(keras.applications, application.build)
    with stateful_random_layers():
        network = build(
            include_top=False,
            weights=None if weights is None else str(weights),
            input_shape=(None, None, 3),
            **dict(application.options),
        )
    taps = []
    for tap in application.taps:
        layer = network.get_layer(tap)
        if application.before:
            (tensor,) = inputs_of_last_call(layer)
        else:
            tensor = layer.output
        taps.append(tensor)
    features = EncoderFeatures(network.input, taps, name=name)
    features.encoder = encoder
    features.synchronized = synchronized
    if synchronized:
        compat.synchronize(features)
    return features
