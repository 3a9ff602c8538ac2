"""Several networks as one that averages what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_unet3p.errors import InputError
from keras_unet3p.layers import EnsembleAverage
from keras_unet3p.layers.intensity_normalization import image_percentiles, normalizations
from keras_unet3p.models.segmentation_model import SegmentationModel


def ensemble(members: Sequence[SegmentationModel], name: str = "ensemble") -> SegmentationModel:
    """One network that gives the mean of its members' probabilities.

    The members are copied, layers and weights, onto one input; the layers of the first are called
    "member1_...", and so on. So it is tiled, saved and exported as any other network, and each
    member keeps the means and deviations by which it normalises intensities. Of the members only
    the final mask is taken, no side head. The members are left as they are.

    Args:
        members: networks of this package that agree in what they take (channels, sizes, scale of
            intensities, percentiles by which images are stretched) and in what they give (classes,
            "sigmoid" or "softmax"). Their architectures may differ.
        name: of the model.

    Returns:
        A model of images (B, H, W, C) that gives probabilities (B, h, w, K), float32; not compiled.

    Raises:
        ValueError: there is no member, one is no network of this package or gives logits, or they
            do not agree.

    Example:
        >>> from keras_unet3p import models
        >>> folds = [models.unet((None, None, 1), 1, filters=2, depth=1) for _ in range(3)]
        >>> network = models.ensemble(folds)
        >>> network.count_params() == 3 * folds[0].count_params()
        True
    """
    members = list(members)
    if not members:
        raise InputError("members: found none; expected at least one network")
    _check_agreement(members)
    image = keras.Input(members[0].inputs[0].shape[1:], name="image")
    masks = [_copy(member, image, f"member{i}_") for i, member in enumerate(members, 1)]
    activation = members[0].classifier_activation
    mean = EnsembleAverage(activation, name="mask")(masks)
    return SegmentationModel(image, mean, name=name)


def _check_agreement(members: list[SegmentationModel]) -> None:
    first: dict[str, Any] = {}
    for number, member in enumerate(members, 1):
        if not isinstance(member, SegmentationModel) or member.facts is None:
            raise InputError(
                f"members: member {number} is {type(member).__name__} "
                f"{getattr(member, 'name', '')!r}; expected a network that a builder of "
                "keras_unet3p.models has made"
            )
        found = _interface(member)
        if found["activation"] not in ("sigmoid", "softmax"):
            raise InputError(
                f"members: member {number} has activation {found['activation']!r}; expected "
                "'sigmoid' or 'softmax', as it is probabilities that are averaged"
            )
        first = first or found
        for what, value in found.items():
            if value != first[what]:
                raise InputError(
                    f"members: {what} of member {number} is {value!r}; expected {first[what]!r}, "
                    "that of member 1"
                )


def _interface(member: SegmentationModel) -> dict[str, Any]:
    """What members have to have in common, by the name under which an error tells it."""
    facts = member.facts
    assert facts is not None
    return {
        "input": tuple(member.inputs[0].shape[1:]),
        "number of classes": facts.num_classes,
        "activation": facts.activation,
        "size divisor": facts.divisor,
        "size offset": facts.offset,
        "minimum size": facts.minimum,
        "margin": facts.margin,
        "padding": (facts.padding, facts.grid),
        # A tiler stretches an image once, for all members.
        "percentiles": image_percentiles(member),
        "value scale": [layer.value_scale for layer in normalizations(member)],
    }


def _copy(member: SegmentationModel, image, prefix: str):
    """The mask of a copy of `member` on `image`."""
    mask = member.output["mask"] if isinstance(member.output, dict) else member.output
    # A plain functional model: without the side heads, and Keras knows how to copy it.
    plain = keras.Model(member.input, mask)

    def renamed(layer):
        return type(layer).from_config({**layer.get_config(), "name": prefix + layer.name})

    copied = keras.models.clone_model(plain, input_tensors=image, clone_function=renamed)
    for layer in plain.layers:
        if layer.weights:
            copied.get_layer(prefix + layer.name).set_weights(layer.get_weights())
    return copied.output
