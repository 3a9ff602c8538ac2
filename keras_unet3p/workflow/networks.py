"""The networks that a configuration describes."""

from __future__ import annotations

from keras_unet3p import losses, metrics, models, optimizers
from keras_unet3p.config import LOSSES, TrainingConfig, loss_terms
from keras_unet3p.errors import InputError
from keras_unet3p.images import Normalization
from keras_unet3p.targets.instances import INSTANCE_MAPS
from keras_unet3p.workflow.starting_point import StartingPoint


def build_model(
    config: TrainingConfig,
    num_channels: int,
    num_classes: int,
    normalization: Normalization | None,
    ignore_class: int | None = None,
    start: StartingPoint | None = None,
    *,
    learns_distance: bool = False,
) -> models.SegmentationModel:
    """The compiled network of a configuration.

    Args:
        config: the choices of the run.
        num_channels: of the images.
        num_classes: of the masks, 1 for foreground against background.
        learns_distance: whether the network learns `targets.instance_maps` instead of them.
        normalization: what the network's first layer does to unit values; None leaves it out.
        ignore_class: what unlabelled pixels are in the masks, for loss and metrics; None where all
            are labelled. A loss with it is the mean over the labelled pixels; zeros as weights
            would shrink it with their share, and the losses of regions take no weights.
        start: where the weights come from, and what is frozen; None for new weights.

    Raises:
        ValueError: the patches do not fit the network, or the images its encoder's weights.

    Example:
        >>> from keras_unet3p.config import TrainingConfig
        >>> config = TrainingConfig(architecture="unet", filters=2, depth=1, patch_size=32)
        >>> build_model(config, 1, 3, None).output_shape
        (None, None, None, 3)
    """
    start = start or StartingPoint(config)
    source = "encoder_weights" if config.encoder_weights else "init"
    normalized = bool(config.encoder_weights) or start.normalizes_itself
    if normalized and normalization and normalization.value_scale == "raw":
        raise InputError(
            f"{source} {getattr(config, source)!r}: an encoder with given weights takes unit "
            "values, and the images hold others; scale them to 0 to 1, or store them as integers"
        )
    model = getattr(models, config.architecture)(
        input_shape=(None, None, num_channels),
        num_classes=INSTANCE_MAPS if learns_distance else num_classes,
        classifier_activation="sigmoid" if learns_distance else "auto",
        # An encoder with given weights normalises as it did when they were learnt.
        normalization=None if normalized else normalization,
        **start.builder_options(),
    )
    if config.patch_size not in model.nearest_sizes(config.patch_size):
        raise InputError(
            f"patch_size {config.patch_size} does not fit this network; the nearest that do are "
            f"{' and '.join(map(str, model.nearest_sizes(config.patch_size)))}"
        )
    start.give_weights(model)
    of_masks = {
        "use_pixel_weights": False,
        "ignore_class": ignore_class,
        "multi_label": learns_distance,
    }
    model.compile(
        # A plain number: the training sets it for every step.
        optimizer=optimizers.AdamW(config.learning_rate, config.weight_decay),
        loss=_loss(config.loss, learns_distance, ignore_class),
        # Weighted, because a validation tile's weights leave out what mirroring filled. A border
        # weight is the loss's alone.
        weighted_metrics=[
            metrics.Dice(name="dice", **of_masks),
            metrics.IoU(name="iou", **of_masks),
        ],
    )
    return model


def _loss(chosen: str, learns_distance: bool, ignore_class: int | None) -> losses.SegmentationLoss:
    if learns_distance and chosen == "auto":
        return losses.InstanceLoss(ignore_class=ignore_class)
    terms = loss_terms("hybrid" if chosen == "auto" else chosen)
    parts = [
        getattr(losses, LOSSES[term.name])(ignore_class=ignore_class, multi_label=learns_distance)
        for term in terms
    ]
    weights = [term.weight for term in terms]
    return parts[0] if weights == [1.0] else losses.HybridLoss(parts, weights)
