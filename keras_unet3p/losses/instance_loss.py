"""The loss of a network that tells touching instances apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_unet3p import compat
from keras_unet3p.losses._batch import Batch
from keras_unet3p.losses.weighted_cross_entropy import WeightedCrossEntropy
from keras_unet3p.targets.instances import INSTANCE_MAPS, instance_maps


@compat.register
class InstanceLoss(WeightedCrossEntropy):
    """Binary cross-entropy of foreground and core, whose truth is made of instance ids.

    For a network of two classes with a sigmoid each. `y_true` are the ids (B, H, W) or
    (B, H, W, 1), 0 the background, of which `targets.instance_maps` makes the two maps; or these
    maps (B, H, W, 2) themselves, for pipelines that make them once for all heads of a network and
    for metrics: `dataset.map(lambda image, ids: (image, instance_maps(ids)))`.
    `postprocessing.InstanceRule` makes instances of the network's answer.

    Args:
        class_weights: of the two maps, in their mean.
        normalization, from_logits, ignore_class, reduction, name, dtype: see
            `WeightedCrossEntropy`.

    Example:
        >>> ids = np.zeros((1, 16, 16), int)
        >>> ids[0, 2:9, 2:9], ids[0, 9:14, 2:9] = 1, 2
        >>> model = ku.models.unet((16, 16, 1), 2, "sigmoid", filters=2, depth=1)
        >>> model.compile("adam", loss=ku.losses.InstanceLoss())
        >>> history = model.fit(ids[..., np.newaxis] / 2, ids, verbose=0)
    """

    default_name = "instance_loss"

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        normalization: str | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(
            class_weights=class_weights,
            normalization=normalization,
            from_logits=from_logits,
            multi_label=True,
            ignore_class=ignore_class,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )

    def get_config(self):
        config = super().get_config()
        del config["multi_label"]
        return config

    def _batch(self, y_true, y_pred, sample_weight) -> Batch:
        y_true = tf.convert_to_tensor(y_true)
        if y_true.shape.rank != 4 or y_true.shape[-1] != INSTANCE_MAPS:
            y_true = instance_maps(y_true, ignore_class=self.ignore_class)
        return super()._batch(y_true, y_pred, sample_weight)
