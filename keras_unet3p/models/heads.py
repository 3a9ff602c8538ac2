"""From logits to the named outputs of a network."""

from __future__ import annotations

from collections.abc import Mapping

from keras_unet3p.errors import InputError
from keras_unet3p.layers import PresenceGate, SegmentationOutput


def segmentation_heads(
    logits: Mapping[str, object],
    *,
    activation: str | None,
    presence_logits=None,
    head_weights: Mapping[str, float] | float | None = None,
    presence_weight: float = 1.0,
    training_gate: str = "open",
    prefix: str = "",
) -> dict[str, object]:
    """Output tensors of a network, by name.

    Args:
        logits: name ("mask" first, then side heads) -> logits (B, H, W, K).
        activation: "sigmoid", "softmax" or None, for all heads.
        presence_logits: (B, K), or (B, 2) for K = 1: gates every mask (`layers.PresenceGate`)
            and becomes the output "presence".
        head_weights: weight in the loss of each head; one number for all side heads, or a mapping
            of names; 1 where not given.
        presence_weight: weight in the loss of the presence head.
        training_gate: "open" or "soft" (`layers.PresenceGate`).
        prefix: put before the layers' names, not before the keys.

    Raises:
        ValueError: `head_weights` names a head that is not there.
    """
    if head_weights is None:
        weights: Mapping[str, float] = {}
    elif isinstance(head_weights, Mapping):
        weights = head_weights
    else:
        weights = {name: float(head_weights) for name in logits if name != "mask"}
    unknown = sorted(set(weights) - set(logits))
    if unknown:
        raise InputError(
            f"head_weights: no head is called {unknown[0]!r}; this network has {list(logits)}"
        )
    outputs: dict[str, object] = {}
    for name, tensor in logits.items():
        if presence_logits is not None:
            # Logits of several classes are a softmax's, as they are by default: an image that holds
            # nothing is all background then.
            exclusive = activation == "softmax" or (activation is None and tensor.shape[-1] > 1)
            gated = "softmax" if exclusive else "sigmoid"
            gate = PresenceGate(gated, training_gate, name=f"{prefix}{name}_gate")
            tensor = gate([tensor, presence_logits])
        outputs[name] = SegmentationOutput(
            activation, loss_weight=weights.get(name, 1.0), name=f"{prefix}{name}"
        )(tensor)
    if presence_logits is not None:
        outputs["presence"] = SegmentationOutput(
            None if activation is None else "sigmoid",
            loss_weight=presence_weight,
            name=f"{prefix}presence",
        )(presence_logits)
    return outputs
