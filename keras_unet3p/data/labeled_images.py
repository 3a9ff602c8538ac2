from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import threading
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from keras_unet3p.data.pairing import Source
from keras_unet3p.data.sample import Sample
from keras_unet3p.data.unlabeled import marked
from keras_unet3p.errors import InputError
from keras_unet3p.images.drift import MaskSpans
from keras_unet3p.images.image_list import ListedPair
from keras_unet3p.images.image_values import ImageValues
from keras_unet3p.images.normalization import Normalization
from keras_unet3p.images.reading import as_labels
from keras_unet3p.images.stored_values import StoredValues
from keras_unet3p.images.stretching import intensity_range, stretch
from keras_unet3p.images.unit_values import divisor, to_unit

_SMALLEST_STD = 1e-6  # of the largest value; below it a channel counts as constant


@dataclasses.dataclass(frozen=True)
class Record:
    """What was found out about one image and its mask when they were checked."""

    name: str
    image: Source
    mask: Source
    shape: tuple[int, int, int]
    values: ImageValues
    channel_mean: np.ndarray
    channel_variance: np.ndarray
    class_pixels: np.ndarray
    object_area: float | None = None  # median over the instances, pixels
    listed: ListedPair | None = None  # the image's row, where a table gave it


class Cache:
    """The decoded images used last, up to a number of bytes. Safe for threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._entries: collections.OrderedDict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> tuple[np.ndarray, np.ndarray] | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: tuple[str, str], image: np.ndarray, labels: np.ndarray) -> None:
        size = image.nbytes + labels.nbytes
        if size > self._limit:
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = (image, labels)
            self._held += size
            while self._held > self._limit:
                _, (image, labels) = self._entries.popitem(last=False)
                self._held -= image.nbytes + labels.nbytes


class LabeledImages(Sequence):
    """Checked images with their masks, decoded when they are asked for. `open_images` makes one.

    Indexing gives a `Sample`, slicing fewer of them. What was decoded last is kept, up to
    `open_images`'s `cache_bytes`.

    Attributes:
        mask_kind: `"binary"`, `"classes"` or `"instances"`.
        num_classes: how many the network predicts: 1 for binary masks and instances (cell or not),
            else the number of classes with the background.
        label_values: the mask values that stand for the classes, rising, where they are not 0 to
            K-1; else None.
        ignore: the mask value of unlabelled pixels, or None where all are labelled.
        class_names: one name per class, or None.
        num_channels: channels of every image.
        value_scale: the rule that makes stored values unit values (see `Normalization`).
        percentiles: those by which each image is stretched for the network; None for none. See
            `stretched_by`.

    Example:
        >>> images, labels = zip(*(ku.data.generate_cells(32, seed=seed) for seed in range(2)))
        >>> opened = ku.data.open_images(images, labels)
        >>> opened[1].image.shape, len(opened[:1]), opened.num_channels
        ((32, 32, 1), 1, 1)
    """

    def __init__(
        self,
        records: Sequence[Record],
        *,
        mask_kind: str,
        num_classes: int,
        label_values: tuple[int, ...] | None,
        ignore: int | None,
        class_names: tuple[str, ...] | None,
        value_scale: str,
        saved_normalization: Normalization | None,
        cache: Cache,
        percentiles: tuple[float, float] | None = None,
    ) -> None:
        self._records = tuple(records)
        self.mask_kind = mask_kind
        self.num_classes = num_classes
        self.class_names = class_names
        self.num_channels = self._records[0].shape[2]
        self.value_scale = value_scale
        self.label_values = label_values
        self.ignore = ignore
        self._saved_normalization = saved_normalization
        self._cache = cache
        if saved_normalization is not None:
            percentiles = saved_normalization.percentiles
        self.percentiles = percentiles
        self._ranges: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> LabeledImages: ...

    def __getitem__(self, index: int | slice) -> Sample | LabeledImages:
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        image, labels = self.stored(index)
        name = self._records[index].name
        return Sample(name, to_unit(image, self.value_scale, name), labels.astype(np.int32))

    def __repr__(self) -> str:
        shapes = sorted({record.shape[:2] for record in self._records})
        sizes = "x".join(map(str, shapes[0]))
        if len(shapes) > 1:
            sizes += " to " + "x".join(map(str, max(shapes, key=lambda shape: shape[0] * shape[1])))
        types = ", ".join(self.stored_types)
        return (
            f"LabeledImages({len(self)} images, {sizes}, {self.num_channels} channel"
            f"{'s' * (self.num_channels > 1)}, {types}, values {self.value_scale}, "
            f"masks {self.mask_kind}, {self.num_classes} class{'es' * (self.num_classes > 1)})"
        )

    @property
    def names(self) -> list[str]:
        return [record.name for record in self._records]

    @property
    def volumes(self) -> list[str | None]:
        """The file of which each image is a slice; None for an image by itself, or of a film."""
        return [
            None if record.image.volume is None else str(record.image.path)
            for record in self._records
        ]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(height, width) of every image."""
        return [record.shape[:2] for record in self._records]

    @property
    def weights(self) -> np.ndarray | None:
        """How often each image is drawn in training, if a table says that they differ."""
        weights = [1.0 if r.listed is None else r.listed.weight for r in self._records]
        return np.array(weights) if len(set(weights)) > 1 else None

    @property
    def has_own_split(self) -> bool:
        """Whether a table says which images are held out."""
        return any(r.listed is not None and r.listed.split == "val" for r in self._records)

    def own_split(self) -> tuple[LabeledImages, LabeledImages]:
        """(training, validation) as the table says; both hold images.

        Raises:
            ValueError: no row is of the split train, or none of val.
        """
        held = [r.listed is not None and r.listed.split == "val" for r in self._records]
        if all(held) or not any(held):
            missing = "train" if all(held) else "val"
            raise InputError(f"images: the table has no row of the split {missing}")
        places = range(len(self))
        return (
            self.subset([at for at in places if not held[at]]),
            self.subset([at for at in places if held[at]]),
        )

    def _listed_group(self, index: int) -> str | None:
        listed = self._records[index].listed
        return None if listed is None else listed.group

    @property
    def stored_types(self) -> list[str]:
        """The types of the stored values, `["uint8"]` say."""
        return sorted({str(record.values.dtype) for record in self._records})

    @property
    def stored_values(self) -> tuple[StoredValues, ...]:
        """What the stored values are like, for each type."""
        return StoredValues.of([record.values for record in self._records])

    @property
    def mask_spans(self) -> MaskSpans:
        """What the masks are like: shares of the classes and areas of the objects, per image."""
        shares = np.stack([r.class_pixels / max(r.class_pixels.sum(), 1) for r in self._records])
        areas = [r.object_area for r in self._records if r.object_area is not None]
        return MaskSpans(
            len(self),
            tuple(zip(shares.min(0).tolist(), shares.max(0).tolist(), strict=True)),
            len(areas),
            (min(areas), max(areas)) if areas else None,
        )

    @property
    def class_frequencies(self) -> np.ndarray:
        """Share of each class among the labelled pixels; of background and foreground if binary."""
        pixels = np.sum([record.class_pixels for record in self._records], axis=0, dtype=np.float64)
        return pixels / pixels.sum()

    @property
    def labeled_share(self) -> float:
        """Share of the pixels that are labelled; 1 unless `ignore` is used."""
        labeled = sum(record.class_pixels.sum() for record in self._records)
        return float(labeled / sum(height * width for height, width in self.shapes))

    @property
    def value_range(self) -> tuple[float, float]:
        """Smallest and largest unit value of the images."""
        scaled = self._scaled_values()
        return (
            min(values.smallest / scale for values, scale in scaled),
            max(values.largest / scale for values, scale in scaled),
        )

    def _scaled_values(self) -> list[tuple[ImageValues, float]]:
        """The stored values of each image, and what makes unit values of them."""
        return [
            (record.values, divisor(record.values.dtype, self.value_scale))
            for record in self._records
        ]

    @property
    def typical_range(self) -> tuple[float, float]:
        """Black and white of an ordinary image in unit values, without its extreme pixels.

        The means over the images of their 0.5 and 99.5 percentiles; (0, 1) for constant images.
        """
        ends = [
            (values.black / scale, values.white / scale) for values, scale in self._scaled_values()
        ]
        if self.percentiles is not None:
            return 0.0, 1.0
        low, high = np.mean(ends, axis=0).tolist()
        return (low, high) if high > low else (0.0, 1.0)

    def stored(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and labels in their compact types: values as stored, labels as in a `Sample`.

        They are shared with the cache: not to be written to.
        """
        record = self._records[index]
        key = record.image.label, record.mask.label  # an image may come with several masks
        found = self._cache.get(key)
        if found is None:
            image = record.image.read(labels=False)
            mask = as_labels(record.mask.read(labels=True), record.mask.label)
            if image.shape != record.shape or mask.shape != record.shape[:2]:
                raise InputError(
                    f"{record.image.label}: changed since it was checked (image {image.shape}, "
                    f"mask {mask.shape}); expected {record.shape}"
                )
            found = image, compact(self._to_labels(mask))
            for array in found:
                array.flags.writeable = False
            self._cache.put(key, *found)
        return found

    def _to_labels(self, mask: np.ndarray) -> np.ndarray:
        labels = self._to_known_labels(mask)
        if self.ignore is None:
            return labels
        ignored = mask == self.ignore
        return marked(labels, ignored) if ignored.any() else labels

    def _to_known_labels(self, mask: np.ndarray) -> np.ndarray:
        if self.label_values is not None:
            return np.searchsorted(self.label_values, mask).astype(np.int32)
        return mask > 0 if self.mask_kind == "binary" else mask

    def content_digest(self) -> str:
        """Of the names, the sizes, the channels' means and variances and the classes' pixels.

        Example:
            >>> opened, same = (ku.data.open_images([np.eye(8)], [np.eye(8)]) for _ in range(2))
            >>> opened.content_digest() == same.content_digest()
            True
        """
        digest = hashlib.sha256()
        for record in self._records:
            digest.update(repr((record.name, record.shape)).encode())
            for figures in (record.channel_mean, record.channel_variance, record.class_pixels):
                digest.update(np.asarray(figures, np.float64).tobytes())
        return digest.hexdigest()[:16]

    def normalization(self) -> Normalization:
        """Value rule, and mean and standard deviation per channel over all pixels of these images.

        A channel that is constant gets the standard deviation 1. Floats more than three ranges away
        from nearly all of their image count as at that distance. If the images were opened with a
        saved normalisation, that one.
        """
        if self._saved_normalization is not None:
            return self._saved_normalization
        if self.percentiles is not None:
            return Normalization(
                (0.0,) * self.num_channels,
                (1.0,) * self.num_channels,
                self.value_scale,
                self.stored_values,
                self.percentiles,
            )
        pixels = np.array([math.prod(record.shape[:2]) for record in self._records], np.float64)
        scaled = self._scaled_values()
        pairs = [(record, scale) for record, (_, scale) in zip(self._records, scaled, strict=True)]
        means = np.stack([record.channel_mean / scale for record, scale in pairs])
        variances = np.stack([record.channel_variance / scale**2 for record, scale in pairs])
        share = (pixels / pixels.sum())[:, np.newaxis]
        mean = np.sum(share * means, axis=0)
        variance = np.sum(share * (variances + (means - mean) ** 2), axis=0)
        std = np.sqrt(np.maximum(variance, 0.0))
        largest = max(max(abs(each.low), abs(each.high)) / scale for each, scale in scaled)
        std = np.where(std > _SMALLEST_STD * largest, std, 1.0)
        return Normalization(
            tuple(mean.tolist()), tuple(std.tolist()), self.value_scale, self.stored_values
        )

    def stretched_by(self, percentiles: tuple[float, float] | None) -> LabeledImages:
        """The same images, each stretched by its own percentiles before the network sees it."""
        return self._with(self._records, percentiles)

    def for_network(self, index: int, values: np.ndarray) -> np.ndarray:
        """Unit values of a part of an image as the network takes them, in place: stretched or not.

        Args:
            index: of the image.
            values: (h, w, C) float32.
        """
        if self.percentiles is None:
            return values
        if index not in self._ranges:
            self._ranges[index] = intensity_range(
                self.stored(index)[0], self.percentiles, self.value_scale
            )
        return stretch(values, *self._ranges[index], out=values)

    @property
    def contrast_spread(self) -> float:
        """How much the images differ in contrast: 90 over 10 percentile, 1 where all are alike.

        An image's contrast is the distance of its 0.5 and 99.5 percentiles.
        """
        contrasts = [
            (values.white - values.black) / scale for values, scale in self._scaled_values()
        ]
        low, high = np.percentile(contrasts, (10, 90)).tolist()
        return high / low if low > 0 else math.inf if high > 0 else 1.0

    def subset(self, indices: Sequence[int]) -> LabeledImages:
        """The images at these places, in this order; decoded images are shared."""
        if len(indices) == 0:
            raise InputError("indices: none; expected at least one")
        return self._with([self._records[index] for index in indices], self.percentiles)

    def _with(
        self, records: Sequence[Record], percentiles: tuple[float, float] | None
    ) -> LabeledImages:
        return LabeledImages(
            records,
            mask_kind=self.mask_kind,
            num_classes=self.num_classes,
            label_values=self.label_values,
            ignore=self.ignore,
            class_names=self.class_names,
            value_scale=self.value_scale,
            saved_normalization=self._saved_normalization,
            cache=self._cache,
            percentiles=percentiles,
        )

    def split(
        self, fraction: float, seed: int, *, contiguous: bool = False
    ) -> tuple[LabeledImages, LabeledImages]:
        """Split into (training, validation).

        Args:
            fraction: share of the images that goes to validation, rounded, at least one image and
                not all.
            seed: decides which ones.
            contiguous: take neighbouring images (sections of one block, frames of one film, which
                are too alike to be judged by their neighbours): one run, at a place that `seed`
                decides.

        The slices of a volume (`volumes`) and the groups of a table stay on one side: whole ones
        are held out, so many that their images come nearest to the share. Of a single volume
        neighbouring slices are.

        Raises:
            ValueError: `fraction` is not between 0 and 1, or there are fewer than two images, or
                groups of them.
        """
        if not 0 < fraction < 1:
            raise InputError(f"fraction is {fraction}; expected a number between 0 and 1")
        if len(self) < 2:
            raise InputError(f"{len(self)} image cannot be split; expected at least 2")
        count = min(max(round(fraction * len(self)), 1), len(self) - 1)
        groups = self._groups()
        if len(groups) == 1 and self._listed_group(0) is not None:
            raise InputError("images: all are of one group, which a split cannot part")
        if 1 < len(groups) < len(self):
            order = _shuffled(groups, seed)
            held = _nearest_to(count, [len(groups[at]) for at in order])
            kept = {index for at in order[:held] for index in groups[at]}
            rest = [index for index in range(len(self)) if index not in kept]
            return self.subset(rest), self.subset(sorted(kept))
        contiguous = contiguous or len(groups) == 1
        rng = np.random.default_rng(seed)
        if contiguous:
            start = int(rng.integers(len(self) - count + 1))
            held_back = set(range(start, start + count))
        else:
            held_back = set(rng.permutation(len(self))[:count].tolist())
        rest = [index for index in range(len(self)) if index not in held_back]
        return self.subset(rest), self.subset(sorted(held_back))

    def folds(
        self, count: int, seed: int, *, contiguous: bool = False
    ) -> list[tuple[LabeledImages, LabeledImages]]:
        """Split for cross-validation: a (training, validation) pair for each fold.

        Each image is in the validation part of exactly one fold. The validation parts differ in
        size by one image at most, and images keep their order. The groups of a table stay together;
        then the parts are as even as these allow, or, where `contiguous`, have as many groups.

        Args:
            count: how many folds, from 2 to the number of images.
            seed: decides which images go together; without effect where `contiguous`.
            contiguous: a fold holds out neighbouring images (sections of one block, frames of one
                film): the first fold the first ones, and so on.

        The slices of a volume are in one fold, so that folds may differ more in size; of a single
        volume the folds are contiguous.

        Raises:
            ValueError: `count` is below 2 or above the number of images, or of their groups.
        """
        if not 2 <= count <= len(self):
            raise InputError(
                f"count: {count} folds of {len(self)} images; expected from 2 folds to one for "
                "each image"
            )
        groups = self._groups()
        if 1 < len(groups) < len(self):
            if count > len(groups):
                raise InputError(
                    f"count: {count} folds of {len(groups)} groups or volumes, which no fold "
                    "parts; expected at most one for each"
                )
            if contiguous:
                shares = [part.tolist() for part in np.array_split(range(len(groups)), count)]
            else:
                sizes = [len(group) for group in groups]
                shares = _evenly(sizes, _shuffled(groups, seed), count)
            held = [sorted(i for at in share for i in groups[at]) for share in shares]
            return self._with_held_out(held)
        contiguous = contiguous or len(groups) == 1
        order = np.arange(len(self))
        if not contiguous:
            order = np.random.default_rng(seed).permutation(order)
        parts = [sorted(part.tolist()) for part in np.array_split(order, count)]
        return self._with_held_out(parts)

    def _with_held_out(self, parts: list[list[int]]) -> list[tuple[LabeledImages, LabeledImages]]:
        everything = set(range(len(self)))
        return [(self.subset(sorted(everything - set(part))), self.subset(part)) for part in parts]

    def _groups(self) -> list[list[int]]:
        """Images that are not to be parted: those of a group of a table, or the slices of a volume;
        others are by themselves."""
        groups: dict[Any, list[int]] = {}
        for index, volume in enumerate(self.volumes):
            group = self._listed_group(index)
            key = ("group", group) if group is not None else ("volume", volume)
            groups.setdefault(index if key[1] is None else key, []).append(index)
        return list(groups.values())


def _shuffled(groups: list[list[int]], seed: int) -> list[int]:
    return np.random.default_rng(seed).permutation(len(groups)).tolist()


def _nearest_to(count: int, sizes: list[int]) -> int:
    """How many groups in order, at least one and not all, hold about so many images."""
    sums = np.cumsum(sizes[:-1])
    return int(np.argmin(np.abs(sums - count))) + 1


def _evenly(sizes: list[int], order: list[int], count: int) -> list[list[int]]:
    """Places of units, the largest first, each in the part that is smallest by then."""
    parts: list[list[int]] = [[] for _ in range(count)]
    held = [0] * count
    for unit in sorted(order, key=lambda place: -sizes[place]):
        smallest = held.index(min(held))
        parts[smallest].append(unit)
        held[smallest] += sizes[unit]
    return parts


def compact(labels: np.ndarray) -> np.ndarray:
    """Labels in the smallest unsigned type that holds them, or int32; marked ones as they are."""
    if labels.dtype.kind == "b":
        return labels.view(np.uint8)
    if labels.min() < 0:
        return labels
    largest = int(labels.max())
    kind = np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.int32
    return labels.astype(kind)
