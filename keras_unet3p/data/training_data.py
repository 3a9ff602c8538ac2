from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_unet3p.data.augmentation import Augmentation
from keras_unet3p.data.labeled_images import LabeledImages
from keras_unet3p.data.patch_weights import PatchWeights
from keras_unet3p.data.unlabeled import IGNORED, check_instances, target_mask, without_ignored
from keras_unet3p.errors import InputError
from keras_unet3p.images.unit_values import scale_in_place

if TYPE_CHECKING:
    import tensorflow as tf

_ORDER_STREAM, _SAMPLE_STREAM = 0, 1
_TRIES = 32
_LOOKS = 8  # for a patch with a labelled pixel


def training_pipeline(
    images: LabeledImages,
    *,
    patch_size: int,
    batch_size: int,
    steps: int | None = None,
    seed: int = 0,
    first_sample: int = 0,
    augmentation: Augmentation | None = None,
    border_weights: Mapping[str, Any] | None = None,
    foreground_probability: float = 0.5,
    separation: int = 0,
    instances: str = "gaps",
    input_context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Batches of augmented patches.

    Sample number n and the seed alone decide the image, the place and the augmentation, whatever
    runs in parallel, so that a training that starts at `first_sample=n` goes on exactly. Every run
    of `len(images)` samples holds each image once, in an order of its own; or, where a table of
    pairs gives weights, as often as they say.

    A patch lies anywhere in the image or, with `foreground_probability`, around a pixel that is not
    background (of a class drawn evenly among those of the image). Beyond the image is its mirror.
    In an image with unlabelled pixels the other patches lie around a labelled pixel, drawn evenly;
    a patch that shows none after its augmentation is drawn anew.
    Grey values are changed relative to `images.typical_range`.

    Args:
        images: as `open_images` gives them.
        patch_size: side of the square patches, in pixels; may exceed the images.
        batch_size: patches in a batch; under a distribution strategy, over all replicas.
        steps: number of batches; None for no end.
        seed: decides everything.
        first_sample: number of the first sample, `steps done x batch_size` to resume.
        augmentation: by default `Augmentation()`; `Augmentation.none()` for plain crops.
        border_weights: None for no weights; else arguments of `border_weight_map`, `{}` for its
            defaults. The map is that of the patch as augmented: of its instances, or of the
            8-connected components of each class (so `instances` is not for you to give).
            `class_balance` (default True) balances the classes by their share of all pixels:
            `class_balance(images)`.
        foreground_probability: see above.
        separation: width of the background that the mask draws between touching instances; see
            `separate_instances`.
        instances: "gaps": the mask of instances is 1 in every cell, but for `separation`.
            "distance": it is the two maps (B, P, P, 2) float32 of `targets.instance_maps`, and
            `separation` has no effect.
        input_context: of one of several machines that train in step, as
            `strategy.distribute_datasets_from_function` gives it: the dataset then makes this
            machine's samples alone, in batches for one replica. Together they are the samples of
            the whole batch, each once.

    Returns:
        A dataset of (image (B, P, P, C) float32, mask (B, P, P) int32[, weight (B, P, P) float32]).
        Unlabelled pixels are
        `IGNORED` (-1) in the mask and weigh 0: losses and metrics take `ignore_class=-1`.

    Raises:
        ValueError: a size, number or probability is out of range.

    Example:
        >>> images, labels = zip(*(ku.data.generate_cells(32, seed=seed) for seed in range(2)))
        >>> opened = ku.data.open_images(images, labels)
        >>> dataset = training_pipeline(opened, patch_size=16, batch_size=2, steps=1)
        >>> [tuple(tensor.shape) for tensor in next(iter(dataset))]
        [(2, 16, 16, 1), (2, 16, 16)]
    """
    import tensorflow as tf

    for name, value, least in (
        ("patch_size", patch_size, 1),
        ("batch_size", batch_size, 1),
        ("steps", 1 if steps is None else steps, 1),
        ("first_sample", first_sample, 0),
        ("seed", seed, 0),
    ):
        if int(value) != value or value < least:
            raise InputError(f"{name} is {value!r}; expected a whole number of at least {least}")
    check_instances(instances, images.mask_kind)
    sampler = _Sampler(
        images,
        int(patch_size),
        int(seed),
        Augmentation() if augmentation is None else augmentation,
        border_weights,
        foreground_probability,
        separation,
        instances,
    )
    kinds = [tf.float32, tf.int32] + [tf.float32] * (border_weights is not None)
    shapes = [(patch_size, patch_size, images.num_channels)] + [(patch_size, patch_size)] * 2

    def sample(number):
        tensors = tf.numpy_function(sampler, [number], kinds)
        for tensor, shape in zip(tensors, shapes, strict=False):
            tensor.set_shape(shape)
        return tuple(tensors)

    last = np.iinfo(np.int64).max if steps is None else first_sample + steps * batch_size
    dataset = tf.data.Dataset.range(first_sample, last)
    if input_context is not None:
        batch_size = replica_batch_size(batch_size, input_context)
        # The numbers are shared out: nobody makes a sample that another one takes.
        dataset = dataset.shard(input_context.num_input_pipelines, input_context.input_pipeline_id)
    dataset = dataset.map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    if instances == "distance":
        dataset = dataset.map(
            with_instance_maps(images), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(pipeline_options())


def with_instance_maps(images: LabeledImages) -> Callable[..., tuple]:
    """What makes `targets.instance_maps` of the ids in a batch."""
    from keras_unet3p.targets import instance_maps

    ignored = None if images.ignore is None else IGNORED
    return lambda image, ids, *weight: (image, instance_maps(ids, ignore_class=ignored), *weight)


def replica_batch_size(batch_size: int, input_context: tf.distribute.InputContext) -> int:
    """The share of each replica in a batch."""
    replicas = input_context.num_replicas_in_sync
    if batch_size % replicas:
        raise InputError(
            f"batch_size is {batch_size}; expected a multiple of the {replicas} devices that train "
            "in step"
        )
    return batch_size // replicas


def pipeline_options() -> tf.data.Options:
    import tensorflow as tf

    options = tf.data.Options()
    # Workers share out the samples, not the files, of which tf.data knows nothing here.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


class _Sampler:
    """Sample number -> (image, mask[, weight])."""

    def __init__(
        self,
        images: LabeledImages,
        patch_size: int,
        seed: int,
        augmentation: Augmentation,
        border_weights: Mapping[str, Any] | None,
        foreground_probability: float,
        separation: int,
        instances: str,
    ) -> None:
        if not 0 <= foreground_probability <= 1:
            raise InputError(f"foreground_probability is {foreground_probability}; expected 0 to 1")
        self._images = images
        self._patch = patch_size
        self._seed = seed
        self._augmentation = augmentation
        self._foreground_probability = foreground_probability
        self._separation = separation
        self._keeps_ids = instances == "distance"
        self._value_range = images.typical_range
        low, high = images.value_range
        if images.percentiles is not None:
            self._limits = (-np.inf, np.inf)  # a few stretched values lie far above 1
        else:
            is_raw = images.value_scale == "raw"
            self._limits = (low, high) if is_raw else (min(low, 0.0), max(high, 1.0))
        self._weights = None if border_weights is None else PatchWeights(images, border_weights)
        self._order = functools.lru_cache(maxsize=4)(self._order_of)

    def _order_of(self, epoch: int) -> np.ndarray:
        """The images of as many samples as there are images, each once or as its weight says."""
        rng = _generator(self._seed, epoch, _ORDER_STREAM)
        count, weights = len(self._images), self._images.weights
        if weights is None:
            return rng.permutation(count)
        # Systematic: an image of weight w comes w * count / sum times, rounded up or down.
        marks = (rng.random() + np.arange(count)) / count
        ends = np.cumsum(weights)
        return rng.permutation(np.searchsorted(ends / ends[-1], marks, side="right"))

    def __call__(self, number) -> list[np.ndarray]:
        epoch, place = divmod(int(number), len(self._images))
        index = int(self._order(epoch)[place])
        rng = _generator(self._seed, int(number), _SAMPLE_STREAM)
        image, labels = self._images.stored(index)
        patch, patch_labels = self._crop(image, labels, rng)
        patch = scale_in_place(patch, image.dtype, self._images.value_scale)
        patch = self._images.for_network(index, patch)
        patch = self._augmentation.change_grey(patch, rng, self._value_range, self._limits)
        mask = target_mask(patch_labels, self._images.mask_kind, self._separation)
        target = patch_labels.astype(np.int32) if self._keeps_ids else mask
        if self._weights is None:
            return [patch, target]
        return [patch, target, self._weights(patch_labels, mask)]

    def _crop(
        self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A patch of image and labels; with a labelled pixel, if that can be had."""
        patch, patch_labels = image, labels
        for _ in range(_LOOKS):
            place = self._place(labels, rng)
            patch, patch_labels = self._augmentation.crop(
                image, labels, *place, self._patch, self._patch, rng
            )
            # Turned and shifted, a patch may have lost the pixel that it was to lie around.
            if patch_labels.max() >= 0:
                break
        return patch, patch_labels

    def _place(self, labels: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """The patch's upper left corner: within the image, or the image within the patch."""
        around_foreground = rng.random() < self._foreground_probability
        spare = [side - self._patch for side in labels.shape]
        corner = [int(rng.integers(min(s, 0), max(s, 0) + 1)) for s in spare]
        pixel = self._foreground_pixel(labels, rng) if around_foreground else None
        if pixel is None and labels.dtype.kind == "i" and labels.min() < 0:
            pixel = _pixel_from(labels, 0, rng)
        if pixel is not None:
            inside = rng.integers(0, self._patch, 2)
            corner = [
                int(min(max(p - offset, min(s, 0)), max(s, 0)))
                for p, offset, s in zip(pixel, inside, spare, strict=True)
            ]
        return corner[0], corner[1]

    def _foreground_pixel(
        self, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[int, int] | None:
        if self._images.mask_kind != "classes":
            return _pixel_from(labels, 1, rng)
        present = np.flatnonzero(np.bincount(without_ignored(labels).ravel()))
        present = present[present > 0]
        if not len(present):
            return None
        return _pixel_of(labels == rng.choice(present), rng)


def _pixel_from(labels: np.ndarray, least: int, rng: np.random.Generator) -> tuple[int, int] | None:
    """A pixel whose label is at least so large, drawn evenly; None where there is none."""
    height, width = labels.shape
    for row, column in zip(
        rng.integers(0, height, _TRIES), rng.integers(0, width, _TRIES), strict=True
    ):
        if labels[row, column] >= least:
            return int(row), int(column)
    return _pixel_of(labels >= least, rng)


def _pixel_of(candidates: np.ndarray, rng: np.random.Generator) -> tuple[int, int] | None:
    places = np.flatnonzero(candidates)
    if not len(places):
        return None
    row, column = divmod(int(rng.choice(places)), candidates.shape[1])
    return row, column


def _generator(seed: int, number: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, number, stream))))
