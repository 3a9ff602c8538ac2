from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import cv2
import numpy as np

from keras_unet3p.config import MASK_KINDS, ReadingChoices
from keras_unet3p.data.inspection_cache import InspectionCache
from keras_unet3p.data.labeled_images import Cache, LabeledImages, Record
from keras_unet3p.data.pairing import Pair, Source, pair_sources
from keras_unet3p.data.unlabeled import check_ignore
from keras_unet3p.errors import InputError, ProblemsError, first_of, printable
from keras_unet3p.images.file_source import DEFAULT, FileSource
from keras_unet3p.images.image_list import ListedPair
from keras_unet3p.images.image_values import (
    ImageValues,
    clipped_to_most,
    measure_values,
    warn_of_guess,
)
from keras_unet3p.images.limits import MAX_PAGES, MAX_PIXELS, Limits
from keras_unet3p.images.normalization import Normalization
from keras_unet3p.images.reading import as_labels
from keras_unet3p.images.unit_values import choose_value_scale, is_narrow, scale_problem
from keras_unet3p.images.value_check import check_values
from keras_unet3p.progress import Progress, Report, reporting

_MOST_NAMED = 10
_WORTH_A_CACHE = 500  # images
_FULL = (255, 65535)  # what "foreground" is in masks meant for looking at
_ONE_PIECE = 0.9
_NUMEROUS = 16
_FEW = 12
_USUAL_IGNORED = 255

ImagesOrMasks = str | os.PathLike | np.ndarray | Sequence


def open_images(
    images: ImagesOrMasks,
    masks: ImagesOrMasks | None = None,
    *,
    splits: Collection[str] | None = None,
    classes: int | Sequence[str] | Sequence[int] | None = None,
    mask_kind: str = "auto",
    ignore: int | None = None,
    normalization: Normalization | None = None,
    cache_bytes: int = 400_000_000,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    accept_values: bool = False,
    reading: ReadingChoices = DEFAULT,
    progress: Progress = False,
) -> LabeledImages:
    """Open images with their masks, after looking at every one of them.

    Files are PNG, JPEG, BMP, TIFF, NPY (see `read_image` and `read_labels`) or of the formats of
    `open_planes`, of which an image of more than 2^26 pixels counts as many: it is opened in
    windows of up to 4096 x 4096, if its mask can be read so too. An image and its
    mask have the same stem, however their systems spell an umlaut; the mask's may end in `_mask`,
    `_masks`, `_label`, `_labels` or `_seg` besides. A stack in one file pairs with a stack of as
    many masks.

    `mask_kind="auto"` decides over all masks together:

    - only 0 and 1, or only 0 and 255 (0 and 65535): binary. Where at least half of the masks that
      hold anything are such 0/255 masks, the set is binary and the others are errors.
    - else instances, if nine in ten of the ids are in one piece (the largest 8-connected component
      has nine tenths of an id's pixels in an image) and moreover the masks hold more than 16 ids in
      all, or are of 16 bits, or hold at every image the ids 1 to n with an n that differs and
      reaches 5;
    - else class ids, which must be 0 to K-1 without a gap unless `classes` is given.

    Args:
        images: a folder; a file (a stack); a pattern such as `plates/*/images/*.png`, or an address
            such as `s3://bucket/images` (see `images.find_files`); a sequence of files, or of
            arrays (height, width[, channels]) of stored values; or a table of pairs, `.csv`,
            `.json` or `.jsonl` (see `ListedPair`).
        masks: likewise; None for a table. Files pair by stem, those of two patterns by what the
            wildcards stand for, a file with a file and arrays by their order.
        splits: of a table, the rows of these splits (`{"train", "val"}`); None takes all.
        classes: number of classes K with the background, their names, or the mask values that
            stand for them (`[0, 128, 255]`). By default found in the masks. 2 takes 0/255 as well.
            With `mask_kind="binary"` the values of background and foreground.
        mask_kind: `"binary"` (0 and one other value), `"classes"`, `"instances"` or `"auto"`.
        ignore: the mask value of unlabelled pixels, usually 255: sparse annotation. They have the
            label `IGNORED` (-1), count in no check, guess or frequency of the masks, and are left
            out of training and evaluation; the image's own values count everywhere. Images without
            a labelled pixel are left out, with a warning.
        normalization: a saved one, for evaluation and prediction: its value rule is applied, and
            images that do not fit it are errors; so are images whose stored type or range clearly
            is not that of the images it was made of (see `check_values`).
        cache_bytes: how much of what was decoded is kept.
        max_pixels: an image of more pixels is refused, before it is decoded; see `Limits`.
        max_pages: so is a file of more images.
        accept_values: warn of another stored type or range instead of refusing it.
        reading: what of the files is read: level, channels, axes, slices.
        progress: see `keras_unet3p.progress.reporting`.

    Of 500 files or more it is kept what was found out about them (in `cache_folder()`), so that
    they are looked at again only where they have changed.

    Where the types of the images do not decide the value rule, a warning tells the evidence.

    Raises:
        ValueError: an argument is wrong, or files are: no or more than one partner, sizes that
            differ, unreadable or truncated files, files beyond the limits, values that are not
            finite or a few defects (a million times farther out than the range of the others),
            unexpected mask values, `ignore` a value that is a label, numbers of channels that
            differ, integer mixed with float images. The message names the first ten with what was
            expected.

    Example:
        >>> images, labels = zip(*(ku.data.generate_cells(32, seed=seed) for seed in range(2)))
        >>> opened = ku.data.open_images(images, labels)
        >>> len(opened), opened.shapes
        (2, [(32, 32), (32, 32)])
        >>> image, mask = np.eye(4), np.array([[0, 1, 255, 255]] * 4)
        >>> ku.data.open_images([image], [mask], ignore=255)[0].labels[0].tolist()
        [0, 1, -1, -1]
    """
    if mask_kind not in MASK_KINDS:
        raise InputError(f"mask_kind is {mask_kind!r}; accepted are {', '.join(MASK_KINDS)}")
    wanted = _WantedClasses.parse(classes, mask_kind, ignore)
    pairs, problems = pair_sources(images, masks, Limits(max_pixels, max_pages), splits, reading)
    with reporting(progress, len(pairs), "checking") as report:
        found = _inspect_all(pairs, wanted.kind == "auto", ignore, report)
    for finding in found:
        problems.extend(finding.problems)
    good = [finding for finding in found if not finding.problems]
    if good:
        problems.extend(_image_problems(good, normalization))
        kind, num_classes, values = _decide_masks(good, wanted, problems)
    if problems or not good:
        _raise(problems or ["no image was found"])
    good = _labelled(good)
    if kind == "instances" and ignore is None:
        _warn_of_odd_instance(good)

    found_values = [finding.image_values for finding in good]
    if normalization is None:
        value_scale = choose_value_scale(found_values)
        warn_of_guess(value_scale, found_values, "images")
    else:
        value_scale = normalization.value_scale
        check_values(found_values, normalization, accept_values=accept_values)
    return LabeledImages(
        [finding.record(kind, num_classes, values) for finding in good],
        mask_kind=kind,
        num_classes=num_classes,
        label_values=values,
        ignore=ignore,
        class_names=wanted.names,
        value_scale=value_scale,
        saved_normalization=normalization,
        cache=Cache(cache_bytes),
    )


def _raise(problems: list[str]) -> None:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise ProblemsError(f"{count} with the images and masks", first_of(problems))


def _labelled(good: list[_Finding]) -> list[_Finding]:
    """Without those that have no labelled pixel; there is at least one."""
    blank = [finding for finding in good if not finding.id_pixels.sum()]
    if blank:
        names = [printable(finding.name) for finding in blank]
        shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
        warnings.warn(f"left out, as they have no labelled pixel: {shown}", stacklevel=3)
    return [finding for finding in good if finding.id_pixels.sum()]


def _warn_of_odd_instance(good: list[_Finding]) -> None:
    """Of an instance whose id is the usual value of unlabelled pixels, far from all others."""
    seen = set().union(*(finding.cells.tolist() for finding in good))
    others = seen - {_USUAL_IGNORED}
    if _USUAL_IGNORED in seen and others and max(others) < _USUAL_IGNORED // 2:
        warnings.warn(
            f"masks: {_USUAL_IGNORED} counts as an instance, and the other ids end at "
            f"{max(others)}; where its pixels are unlabelled, give ignore={_USUAL_IGNORED} "
            f"(--ignore {_USUAL_IGNORED})",
            stacklevel=3,
        )


@dataclasses.dataclass(frozen=True)
class _WantedClasses:
    kind: str
    count: int | None
    values: tuple[int, ...] | None
    names: tuple[str, ...] | None
    ignore: int | None

    @classmethod
    def parse(cls, classes, mask_kind: str, ignore: int | None) -> _WantedClasses:
        if classes is None:
            check_ignore(ignore, None)
            return cls(mask_kind, None, None, None, ignore)
        count, values, names = 0, None, None
        if isinstance(classes, int | np.integer):
            count = int(classes)
        elif isinstance(classes, Sequence) and not isinstance(classes, str):
            if all(isinstance(item, str) for item in classes):
                count, names = len(classes), tuple(classes)
            elif all(isinstance(item, int | np.integer) for item in classes):
                count, values = len(classes), tuple(int(item) for item in classes)
        if count < 1:
            raise InputError(
                f"classes is {classes!r}; expected a number of at least 1, a sequence of names, or "
                "a sequence of mask values"
            )
        if values is not None and (list(values) != sorted(set(values)) or values == (0,)):
            raise InputError(
                f"classes is {classes!r}; expected mask values in rising order, with one besides 0"
            )
        automatic = "binary" if count == 1 else "classes"
        kind = automatic if mask_kind == "auto" else mask_kind
        if kind == "classes" and count < 2:
            raise InputError(
                f"classes is {classes!r}; expected at least 2 with mask_kind 'classes'"
            )
        if kind in ("binary", "instances") and count > 2:
            raise InputError(f"classes is {classes!r}; expected at most 2 with mask_kind {kind!r}")
        if kind == "instances" and values is not None:
            raise InputError(
                f"classes is {classes!r}; expected no mask values with mask_kind 'instances', "
                "where every value is one object"
            )
        check_ignore(ignore, values)
        if kind == "classes" and values is None and ignore is not None and ignore < count:
            raise InputError(
                f"ignore is {ignore}, a class id of {count} classes; expected the value of the "
                "unlabelled pixels, or the values of the classes as classes"
            )
        return cls(kind, count, values, names, ignore)


@dataclasses.dataclass
class _Finding:
    name: str
    image: Source
    mask: Source
    listed: ListedPair | None = None
    problems: list[str] = dataclasses.field(default_factory=list)
    shape: tuple[int, int, int] = (0, 0, 0)
    values: ImageValues | None = None
    channel_mean: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    channel_variance: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    mask_dtype: np.dtype = dataclasses.field(default_factory=lambda: np.dtype(np.uint8))
    ids: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    id_pixels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    ids_in_one_piece: int = 0
    ignored_pixels: int = 0

    def to_text(self) -> str:
        """What was found out, without what `Pair` says."""
        values = dataclasses.asdict(self.image_values)
        return json.dumps(
            {
                "shape": self.shape,
                "values": {**values, "dtype": values["dtype"].str},
                "channel_mean": self.channel_mean.tolist(),
                "channel_variance": self.channel_variance.tolist(),
                "mask_dtype": self.mask_dtype.str,
                "ids": self.ids.tolist(),
                "id_pixels": self.id_pixels.tolist(),
                "ids_in_one_piece": self.ids_in_one_piece,
                "ignored_pixels": self.ignored_pixels,
            }
        )

    @classmethod
    def from_text(cls, pair: Pair, text: str) -> _Finding:
        """What `to_text` gave, of the same pair."""
        content = json.loads(text)
        values = content.pop("values")
        kinds = {"channel_mean": float, "channel_variance": float, "ids": int, "id_pixels": int}
        arrays = {name: np.array(content.pop(name), kind) for name, kind in kinds.items()}
        return cls(
            pair.name,
            pair.image,
            pair.mask,
            pair.listed,
            shape=tuple(content.pop("shape")),
            values=ImageValues(**{**values, "dtype": np.dtype(values["dtype"])}),
            mask_dtype=np.dtype(content.pop("mask_dtype")),
            **arrays,
            **content,
        )

    @property
    def image_values(self) -> ImageValues:
        assert self.values is not None, "a finding without problems has them"
        return self.values

    @property
    def cells(self) -> np.ndarray:
        return self.ids[self.ids != 0]

    def leave_out(self, ignore: int | None, ids: np.ndarray, pixels: np.ndarray) -> None:
        """Take over the mask's ids and their pixels, but for those of unlabelled pixels."""
        ignored = ids == ignore if ignore is not None else np.zeros(ids.shape, bool)
        self.ids, self.id_pixels = ids[~ignored], pixels[~ignored]
        self.ignored_pixels = int(pixels[ignored].sum())

    def record(self, kind: str, num_classes: int, values: tuple[int, ...] | None) -> Record:
        if kind == "classes":
            places = self.ids if values is None else np.searchsorted(values, self.ids)
            pixels = np.bincount(places, self.id_pixels, minlength=num_classes)
        else:
            background = self.id_pixels[self.ids == (values[0] if values else 0)].sum()
            pixels = np.array([background, self.id_pixels.sum() - background])
        areas = self.id_pixels[self.ids != 0] if kind == "instances" else []
        return Record(
            self.name,
            self.image,
            self.mask,
            self.shape,
            self.image_values,
            self.channel_mean,
            self.channel_variance,
            pixels,
            float(np.median(areas)) if len(areas) else None,
            self.listed,
        )


def _inspect_all(
    pairs: Sequence[Pair], need_pieces: bool, ignore: int | None, report: Report
) -> list[_Finding]:
    """Look at every pair, in parallel; at those of a large set only if they have changed."""
    cache, keys = InspectionCache(), [None] * len(pairs)
    if len(pairs) >= _WORTH_A_CACHE:
        keys = [_cache_key(pair, f"{need_pieces} {ignore}") for pair in pairs]
    known = cache.get([key for key in keys if key is not None])
    found: list[_Finding | None] = []
    for pair, key in zip(pairs, keys, strict=True):
        finding = None
        if key in known:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                finding = _Finding.from_text(pair, known[key])
        found.append(finding)
    unknown = [place for place, finding in enumerate(found) if finding is None]
    new: list[tuple[str, str]] = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        inspected = pool.map(lambda place: _inspect(pairs[place], need_pieces, ignore), unknown)
        for number, (place, finding) in enumerate(zip(unknown, inspected, strict=True), start=1):
            found[place], key = finding, keys[place]
            report(len(pairs) - len(unknown) + number, len(pairs))
            if key is not None and not finding.problems:
                new.append((key, finding.to_text()))
            if len(new) >= _WORTH_A_CACHE:
                cache.put(new)
                new = []
    if new:
        cache.put(new)
    return [finding for finding in found if finding is not None]


def _cache_key(pair: Pair, how: str) -> str | None:
    if not isinstance(pair.image, FileSource) or not isinstance(pair.mask, FileSource):
        return None
    places = f"{pair.image.number} {pair.mask.number}"
    return InspectionCache.key([pair.image.path, pair.mask.path], f"{how} {places}")


def _inspect(pair: Pair, need_pieces: bool, ignore: int | None) -> _Finding:
    image_source, mask_source = pair.image, pair.mask
    finding = _Finding(pair.name, image_source, mask_source, pair.listed)
    image = mask = None
    try:
        image = image_source.read(labels=False)
        _inspect_image(image, finding)
    except ValueError as error:
        finding.problems.append(str(error))
    try:
        stored = mask_source.read(labels=True)
        finding.mask_dtype = stored.dtype
        mask = as_labels(stored, mask_source.label)
        finding.leave_out(ignore, *_ids_of(mask))
    except ValueError as error:
        finding.problems.append(str(error))
    if image is not None and mask is not None:
        if mask.shape != image.shape[:2]:
            finding.problems.append(
                f"{mask_source.label}: {mask.shape[0]}x{mask.shape[1]} pixels (height x width), "
                f"its image {image.shape[0]}x{image.shape[1]}; expected the same size"
            )
        elif need_pieces and len(finding.cells) > 1:
            if finding.ignored_pixels:
                mask = np.where(mask == ignore, 0, mask)
            finding.ids_in_one_piece = _count_ids_in_one_piece(mask)
    return finding


def _inspect_image(image: np.ndarray, finding: _Finding) -> None:
    finding.values = measure_values(image, finding.image.label)
    finding.shape = image.shape  # type: ignore[assignment]
    image = clipped_to_most(image, finding.values)
    if image.dtype in (np.uint8, np.uint16, np.int16, np.float32) and image.shape[2] <= 4:
        mean, deviation = cv2.meanStdDev(image)
        finding.channel_mean = mean[:, 0]
        finding.channel_variance = deviation[:, 0] ** 2
    else:
        finding.channel_mean = image.mean((0, 1), dtype=np.float64)
        finding.channel_variance = image.var((0, 1), dtype=np.float64)


def _ids_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if mask.max() < 1 << 20:
        counts = np.bincount(mask.ravel())
        ids = np.flatnonzero(counts)
        return ids, counts[ids]
    return np.unique(mask, return_counts=True)


def _count_ids_in_one_piece(mask: np.ndarray) -> int:
    from skimage.measure import label  # slow to import, and not always needed

    pieces = np.asarray(label(mask, connectivity=2))
    count = int(pieces.max())
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    owner = np.zeros(count + 1, np.int64)
    owner[pieces.ravel()] = mask.ravel()
    ids, place = np.unique(owner[1:], return_inverse=True)
    whole = np.bincount(place, sizes)
    largest = np.zeros(len(ids))
    np.maximum.at(largest, place, sizes)
    return int(np.count_nonzero(largest >= _ONE_PIECE * whole))


def _image_problems(good: list[_Finding], normalization: Normalization | None) -> list[str]:
    problems: list[str] = []
    channels = Counter(finding.shape[2] for finding in good)
    expected = channels.most_common(1)[0][0]
    if normalization is not None:
        expected = normalization.num_channels
    problems += [
        f"{finding.image.label}: {finding.shape[2]} channel(s); expected {expected}, as the "
        f"{'saved normalisation has' if normalization else 'other images have'}"
        for finding in good
        if finding.shape[2] != expected
    ]
    narrow = [is_narrow(finding.image_values.dtype) for finding in good]
    integers = Counter(narrow).most_common(1)[0][0]
    problems += [
        f"{finding.image.label}: {finding.image_values.dtype} values; expected "
        f"{'integers of 8 or 16 bits' if integers else 'floats'}, as the other images hold"
        for finding, is_integer in zip(good, narrow, strict=True)
        if is_integer != integers
    ]
    if normalization is not None:
        for finding in good:
            problem = scale_problem(finding.image_values, normalization.value_scale)
            if problem:
                problems.append(f"{finding.image.label}: {problem}")
    return problems


def _decide_masks(
    good: list[_Finding], wanted: _WantedClasses, problems: list[str]
) -> tuple[str, int, tuple[int, ...] | None]:
    """Kind of the masks, number of classes, and which mask values stand for them, if not 0..K-1."""
    kind = wanted.kind if wanted.kind != "auto" else _guess_kind(good)
    if wanted.ignore is not None:
        problems.extend(_ignore_problems(good, kind, wanted))
    if kind == "instances":
        return kind, 1, None
    if kind == "binary" and wanted.values is None:
        foreground = _foreground_value(good)
        for finding in good:
            if not set(finding.cells.tolist()) <= {foreground}:
                problems.append(
                    f"{finding.mask.label}: mask values {_some(finding.ids)}; expected 0 and "
                    f"{foreground}, as in the other masks" + _hint(finding, good)
                )
        return kind, 1, None
    values = wanted.values
    if values is not None and len(values) == 1:
        values = (0, *values)
    if (
        values is None
        and wanted.count == 2
        and all(set(finding.cells.tolist()) <= {255} for finding in good)
    ):
        values = (0, 255)
    if values is None:
        everything = np.unique(np.concatenate([finding.ids for finding in good]))
        count = wanted.count or max(len(set(everything.tolist()) | {0}), 2)
        allowed, text = set(range(count)), f"class ids from 0 to {count - 1}"
    else:
        count, allowed, text = len(values), set(values), f"only {_some(values)}"
    for finding in good:
        if not set(finding.ids.tolist()) <= allowed:
            problems.append(
                f"{finding.mask.label}: mask values {_some(finding.ids)}; expected {text}"
                + (_hint(finding, good) if wanted.values is None else "")
            )
    return kind, 1 if kind == "binary" else count, values


def _ignore_problems(good: list[_Finding], kind: str, wanted: _WantedClasses) -> list[str]:
    """Where the value of unlabelled pixels is a label, as it seems."""
    ignore = wanted.ignore
    assert ignore is not None
    seen = set().union(*(finding.ids.tolist() for finding in good))
    if not any(finding.ignored_pixels for finding in good):
        return []
    if not seen:
        return [f"masks: every pixel is {ignore}, unlabelled (ignore); expected labelled ones too"]
    if seen == {0} and wanted.values is None:
        return [
            f"masks: they hold only 0 and {ignore}, so that {ignore} is the foreground, as it "
            f"seems; ignore={ignore} (--ignore {ignore}) would leave nothing but background. Leave "
            "it out where all pixels are labelled"
        ]
    between = f"masks: they hold {ignore - 1} and {ignore + 1} too, so that {ignore} is"
    if kind == "instances" and any({ignore - 1, ignore + 1} <= {*f.cells.tolist()} for f in good):
        return [f"{between} an instance id, as it seems; expected another value for ignore"]
    if kind == "classes" and wanted.values is None and ignore < max(seen):
        return [
            f"masks: ignore is {ignore}, which lies among the class ids 0 to {max(seen)}; give the "
            "values of the classes as classes, without it"
        ]
    return []


def _hint(finding: _Finding, good: list[_Finding]) -> str:
    if finding.mask.label.lower().endswith((".jpg", ".jpeg")):
        return " (JPEG changes values: save masks as PNG or TIFF)"
    everything = np.unique(np.concatenate([finding.ids for finding in good])).tolist()
    values = everything if 1 < len(everything) <= _FEW else [0, 128, 255]
    listed = [str(value) for value in values]
    return (
        f" (classes=[{', '.join(listed)}], on the command line --classes {','.join(listed)}, says "
        "which values stand for the classes; mask_kind='instances', --mask-kind instances, that "
        f"every value is one object{_hint_of_ignore(everything, good)})"
    )


def _hint_of_ignore(values: list[int], good: list[_Finding]) -> str:
    """For masks that hold the usual value of unlabelled pixels beside labels."""
    if _USUAL_IGNORED not in values or _mostly_hold_only(good, _USUAL_IGNORED):
        return ""
    return (
        f"; ignore={_USUAL_IGNORED}, --ignore {_USUAL_IGNORED}, that pixels of {_USUAL_IGNORED} "
        "are unlabelled"
    )


def _guess_kind(good: list[_Finding]) -> str:
    filled = [finding for finding in good if len(finding.cells)]
    seen = set().union(*(finding.cells.tolist() for finding in filled)) if filled else set()
    if not seen or seen == {1}:
        return "binary"
    if any(_mostly_hold_only(filled, value) for value in _FULL):
        return "binary"
    many = [finding for finding in filled if len(finding.cells) > 1]
    total = sum(len(finding.cells) for finding in many)
    if sum(finding.ids_in_one_piece for finding in many) < _ONE_PIECE * total or not many:
        return "classes"
    counts = {len(finding.cells) for finding in filled}
    consecutive = all(finding.cells[-1] == len(finding.cells) for finding in filled)
    numerous = len(seen) > _NUMEROUS
    wide = all(finding.mask_dtype == np.uint16 for finding in good)
    varied = consecutive and len(counts) > 1 and max(counts) >= 5
    return "instances" if numerous or wide or varied else "classes"


def _mostly_hold_only(findings: list[_Finding], value: int) -> bool:
    """Whether at least half of the masks that hold anything hold this value alone."""
    filled = [finding.cells.tolist() for finding in findings if len(finding.cells)]
    return 2 * sum(cells == [value] for cells in filled) >= len(filled)


def _foreground_value(good: list[_Finding]) -> int:
    votes = Counter(int(finding.cells[-1]) for finding in good if len(finding.cells))
    return votes.most_common(1)[0][0] if votes else 1


def _some(values: Iterable[int]) -> str:
    listed = [str(int(value)) for value in values]
    return ", ".join(listed) if len(listed) <= 6 else ", ".join([*listed[:5], "...", listed[-1]])
