"""Where images and masks come from, and which mask belongs to which image."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import InputError
from keras_unet3p.files import printable
from keras_unet3p.images.decoding import is_stack
from keras_unet3p.images.file_source import DEFAULT, FileSource, expand, windows_of
from keras_unet3p.images.found_files import FoundFile, find_files
from keras_unet3p.images.image_list import ListedPair, is_image_list, named_files, read_image_list
from keras_unet3p.images.in_threads import in_threads
from keras_unet3p.images.limits import Limits
from keras_unet3p.images.listing import image_names, is_one_file, shared_names, stem
from keras_unet3p.images.plane import Plane, PlaneWindow

MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "-mask", "-label")


@dataclasses.dataclass(frozen=True)
class ArraySource:
    array: np.ndarray
    label: str

    volume = None

    def read(self, *, labels: bool) -> np.ndarray:
        del labels
        # Always a new view: whoever makes it read-only leaves the caller's array alone.
        return self.array[...] if self.array.ndim == 3 else self.array[..., np.newaxis]


Source = FileSource | ArraySource | Plane


class Pair(NamedTuple):
    """An image and its mask; `listed` is its row where a table gave it."""

    name: str
    image: Source
    mask: Source
    listed: ListedPair | None = None


def pair_sources(
    images,
    masks,
    limits: Limits,
    splits: Collection[str] | None = None,
    reading: ReadingChoices = DEFAULT,
) -> tuple[list[Pair], list[str]]:
    """Named pairs of image and mask, and what is wrong with those that make no pair.

    Of a table only the rows of `splits` are taken; None takes all.
    """
    problems: list[str] = []
    if is_image_list(images):
        if masks is not None:
            raise InputError("masks: the table of images names them; leave masks out")
        return _listed_pairs(images, splits, limits, reading, problems), problems
    if masks is None:
        raise InputError(
            "masks: missing; without them images has to be a table of pairs (.csv, .json, .jsonl)"
        )
    left, right = _collect(images, "images"), _collect(masks, "masks")
    if isinstance(left, list) and isinstance(right, list):
        return _pair_files(images, masks, left, right, limits, reading, problems), problems
    left_sources = left if isinstance(left, tuple) else _expand_all(left, limits, reading, problems)
    right_sources = (
        right
        if isinstance(right, tuple)
        else _expand_all(right, limits, reading, problems, labels=True)
    )
    if not problems and len(left_sources) != len(right_sources):
        problems.append(
            f"images: {len(left_sources)} and masks: {len(right_sources)}; "
            "expected one mask per image, in the same order"
        )
    digits = max(4, len(str(len(left_sources))))
    return [
        Pair(f"{number:0{digits}d}", image, mask)
        for number, (image, mask) in enumerate(zip(left_sources, right_sources, strict=False))
    ], problems


def _listed_pairs(
    table,
    splits: Collection[str] | None,
    limits: Limits,
    reading: ReadingChoices,
    problems: list[str],
) -> list[Pair]:
    rows = [row for row in read_image_list(table) if splits is None or row.split in splits]
    if not rows:
        wanted = " or ".join(sorted(splits or ()))
        raise InputError(f"{printable(table)}: has no row of the split {wanted}")
    pairs: list[Pair] = []
    found = _expand_pairs(named_files(rows), limits, reading)
    for row, (expanded, own_problems) in zip(rows, found, strict=True):
        pairs.extend(pair._replace(listed=row) for pair in expanded)
        problems.extend(own_problems)
    problems.extend(shared_names([(pair.name, pair.image.label) for pair in pairs]))
    return pairs


def _collect(given, argument: str) -> list[FoundFile] | tuple[Source, ...]:
    """A list of files, or a tuple of arrays."""
    if isinstance(given, str | os.PathLike):
        return find_files(given, argument)
    if isinstance(given, np.ndarray):
        if given.ndim == 2 or not is_stack(given.shape, argument):
            given = given[np.newaxis]
        return _array_sources(list(given), argument)
    if isinstance(given, Sequence) and given:
        if all(isinstance(item, str | os.PathLike) for item in given):
            return [FoundFile(stem(Path(item)), Path(item)) for item in given]
        if not any(isinstance(item, str | os.PathLike) for item in given):
            return _array_sources([np.asarray(item) for item in given], argument)
    raise InputError(
        f"{argument}: {type(given).__name__}; expected a folder, a file, or a sequence (not empty) "
        "of files or of arrays"
    )


def _array_sources(arrays: list[np.ndarray], argument: str) -> tuple[Source, ...]:
    for number, array in enumerate(arrays):
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise InputError(
                f"{argument}[{number}]: shape {array.shape}; "
                "expected (height, width) or (height, width, channels)"
            )
    return tuple(ArraySource(array, f"{argument}[{n}]") for n, array in enumerate(arrays))


def _pair_files(images, masks, left, right, limits, reading, problems) -> list[Pair]:
    single = isinstance(images, str | os.PathLike) and isinstance(masks, str | os.PathLike)
    if (
        single
        and len(left) == len(right) == 1
        and is_one_file(Path(images))
        and is_one_file(Path(masks))
    ):
        only = (left[0].key, left[0].path, right[0].path)
        expanded, own_problems = _expand_pair(*only, limits, reading)
        problems.extend(own_problems)
        return expanded
    by_stem = _unique([(file.key, file.path) for file in left], problems)
    keyed = [(_image_key(file.key, by_stem), file.path) for file in right]
    partners = _unique(keyed, problems)
    doubled = {file.key for file in left} - set(by_stem)
    doubled |= {key for key, _ in keyed} - set(partners)
    pairs: list[Pair] = []
    whole = {name: path for name, path in by_stem.items() if name in partners}
    named = [(FoundFile(name, path).name, path, partners[name]) for name, path in whole.items()]
    opened = dict(zip(whole, _expand_pairs(named, limits, reading), strict=True))
    for name, path in by_stem.items():
        if name in opened:
            pairs.extend(opened[name][0])
            problems.extend(opened[name][1])
        elif name not in doubled:
            problems.append(
                f"{printable(path)}: has no mask; "
                f"expected a file {printable(name)}.* among the masks"
            )
    for name, path in partners.items():
        if name not in by_stem and name not in doubled:
            problems.append(
                f"{printable(path)}: has no image; "
                f"expected a file {printable(name)}.* among the images"
            )
    problems.extend(shared_names([(pair.name, pair.image.label) for pair in pairs]))
    return pairs


def _image_key(name: str, by_stem: dict[str, Path]) -> str:
    """The key of a mask's image: its own, or where no image has it, that without `_mask`."""
    if name in by_stem:
        return name
    for ending in MASK_ENDINGS:
        if name.lower().endswith(ending) and name[: -len(ending)] in by_stem:
            return name[: -len(ending)]
    return name


def _unique(files: list[tuple[str, Path]], problems: list[str]) -> dict[str, Path]:
    groups: dict[str, list[Path]] = {}
    for key, path in files:
        groups.setdefault(key, []).append(path)
    for name, members in groups.items():
        if len(members) > 1:
            listed = ", ".join(printable(member.name) for member in members)
            problems.append(
                f"{printable(members[0])}: {listed} share the stem {printable(name)}; "
                "expected one of them"
            )
    return {name: members[0] for name, members in groups.items() if len(members) == 1}


def _expand_pairs(
    named: list[tuple[str, Path, Path]], limits: Limits, reading: ReadingChoices
) -> list[tuple[list[Pair], list[str]]]:
    """`_expand_pair` of each; the headers are read by threads, as the images are afterwards."""
    return in_threads(lambda each: _expand_pair(*each, limits, reading), named)


def _expand_pair(
    name: str, image: Path, mask: Path, limits: Limits, reading: ReadingChoices
) -> tuple[list[Pair], list[str]]:
    """The images of two files with their masks, and what is wrong with the files."""
    problems: list[str] = []
    expanded: list[Sequence[Source]] = []
    for path, labels in ((image, False), (mask, True)):
        try:
            expanded.append(expand(path, limits, reading, labels=labels))
        except ValueError as error:
            problems.append(str(error))
    if len(expanded) < 2:
        return [], problems
    if len(expanded[0]) != len(expanded[1]):
        problems.append(
            f"{printable(mask)}: holds {len(expanded[1])} masks, {printable(image.name)} "
            f"{len(expanded[0])} images; expected as many"
        )
        return [], problems
    named = zip(image_names(name, len(expanded[0])), *expanded, strict=True)
    return [pair for whole in named for pair in _in_windows(*whole)], problems


def _in_windows(name: str, image: Source, mask: Source) -> list[Pair]:
    """A large image and its mask in windows, each of which is an image of its own."""
    if not (isinstance(image, Plane) and isinstance(mask, Plane) and image.is_large):
        return [Pair(name, image, mask)]
    if image.shape[:2] != mask.shape[:2]:
        return [Pair(name, image, mask)]
    windows = windows_of(image)
    cut = [PlaneWindow(mask, window.rows, window.columns) for window in windows]
    return list(map(Pair, image_names(name, len(windows)), windows, cut))


def _expand_all(
    files: list[FoundFile],
    limits: Limits,
    reading: ReadingChoices,
    problems: list[str],
    *,
    labels: bool = False,
) -> tuple[Source, ...]:
    def opened(file: FoundFile) -> tuple[Sequence[Source], list[str]]:
        try:
            return expand(file.path, limits, reading, labels=labels), []
        except ValueError as error:
            return [], [str(error)]

    sources: list[Source] = []
    for found, own_problems in in_threads(opened, files):
        sources.extend(found)
        problems.extend(own_problems)
    return tuple(sources)
