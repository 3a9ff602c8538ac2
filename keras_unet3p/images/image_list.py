"""Pairs of image and mask as a table: CSV, JSON or JSON lines."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from keras_unet3p.errors import InputError, ProblemsError, first_of
from keras_unet3p.files import printable, reason
from keras_unet3p.images.formats import format_of
from keras_unet3p.images.found_files import find_files
from keras_unet3p.images.in_threads import in_threads
from keras_unet3p.images.listing import stem
from keras_unet3p.images.remote_files import AT_ONCE, is_remote, local_copies

SUFFIXES = (".csv", ".json", ".jsonl")
SPLITS = ("train", "val", "test")
_OTHER_NAMES = {"validation": "val", "valid": "val", "training": "train", "": "train"}


class ListedPair(NamedTuple):
    """A row: which mask belongs to an image, and what the image is for.

    Attributes:
        image: its file; an address is as it was given.
        mask: its mask's.
        split: `"train"`, `"val"` or `"test"`.
        weight: how often it is drawn in training, as a multiple of a weight of 1.
        group: what it belongs to (a patient, a slide, a film); None stands for itself. A split
            never parts a group.

    Example:
        >>> ListedPair("a.png", "a_mask.png").split
        'train'
    """

    image: str
    mask: str
    split: str = "train"
    weight: float = 1.0
    group: str | None = None


def is_image_list(given: Any) -> bool:
    """Whether something that stands for images is such a table.

    Example:
        >>> is_image_list("pairs.csv"), is_image_list("images")
        (True, False)
    """
    return isinstance(given, str | os.PathLike) and os.fspath(given).lower().endswith(SUFFIXES)


def read_image_list(path: str | os.PathLike[str]) -> list[ListedPair]:
    """Read the rows of a table.

    CSV has a header; JSON is a list of objects, or an object for each line. Their names are those
    of `ListedPair`; `image` and `mask` are needed, and further columns are passed over. Paths are
    relative to the table's folder; addresses (`s3://...`) may stand in their place.

    Raises:
        ValueError: the file cannot be read, or rows are wrong; the message names the first ten.

    Example:
        >>> length = Path("pairs.csv").write_text("image,mask,group\\na.png,b.png,patient 7\\n")
        >>> read_image_list("pairs.csv")[0].group
        'patient 7'
    """
    path, name = Path(path), printable(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _rows(text, path.suffix.lower())
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{name}: {reason(error)}") from None
    if not rows:
        raise InputError(f"{name}: has no rows")
    pairs, problems = [], []
    for number, row in rows:
        try:
            pairs.append(_pair(row, path.parent))
        except ValueError as error:
            problems.append(f"{name}, {number}: {error}")
    if problems:
        raise ProblemsError(f"{len(problems)} of {len(rows)} rows are wrong", first_of(problems))
    return pairs


def has_parts(given: str | os.PathLike[str]) -> bool:
    """Whether images are of formats of which parts can be chosen, as `config.ReadingChoices` does.

    Example:
        >>> np.save("a.npy", np.zeros((8, 8)))
        >>> has_parts("a.npy")
        True
    """
    if is_image_list(given):
        files = [Path(pair.image) for pair in read_image_list(given)]
    else:
        files = [file.path for file in find_files(given, "images")]
    return any(format_of(file) is not None for file in files)


def named_files(pairs: list[ListedPair]) -> list[tuple[str, Path, Path]]:
    """A name for each pair, and the files; those of addresses are copied to this machine.

    The name is the image's stem, or where two images share one, the way to it from the folder that
    holds them all.
    """
    places = [PurePosixPath(pair.image.replace(os.sep, "/")) for pair in pairs]
    names = [stem(Path(place.name)) for place in places]
    if len(set(names)) < len(names):
        common = os.path.commonpath([str(place.parent) for place in places])
        ways = [place.relative_to(common) if common else place for place in places]
        names = ["_".join([*way.parts[:-1], name]) for way, name in zip(ways, names, strict=True)]
    local = _local({pair.image: "image" for pair in pairs} | {pair.mask: "mask" for pair in pairs})
    return [
        (name, local[pair.image], local[pair.mask]) for name, pair in zip(names, pairs, strict=True)
    ]


def _local(given: Mapping[str, str]) -> dict[str, Path]:
    """The files on this machine, by their names in the table; addresses are copied, many at a time.

    Args:
        given: the columns that they stand in, for errors.
    """
    remote = [name for name in given if is_remote(name)]
    copies = in_threads(lambda name: local_copies(name, given[name])[1][0][1], remote, AT_ONCE)
    return {**{name: Path(name) for name in given}, **dict(zip(remote, copies, strict=True))}


def _rows(text: str, suffix: str) -> list[tuple[str, Mapping[str, Any]]]:
    if suffix == ".csv":
        reader = csv.DictReader(text.splitlines(), strict=True)
        missing = {"image", "mask"} - set(reader.fieldnames or ())
        if missing:
            raise InputError(
                f"the header is {', '.join(reader.fieldnames or ()) or 'empty'}; expected image, "
                "mask and, if wanted, split, weight, group"
            )
        return [(f"line {reader.line_num}", row) for row in reader]
    if suffix == ".jsonl":
        lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
        return [(f"line {number}", json.loads(line)) for number, line in lines]
    content = json.loads(text)
    if not isinstance(content, list):
        raise InputError("expected a list of objects with image and mask")
    return [(f"entry {number}", row) for number, row in enumerate(content)]


def _pair(row: Mapping[str, Any], folder: Path) -> ListedPair:
    if not isinstance(row, Mapping):
        raise InputError("expected an object with image and mask")
    files = []
    for column in ("image", "mask"):
        value = row.get(column)
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{column} is {value!r}; expected a file")
        value = value.strip()
        files.append(value if is_remote(value) else os.path.normpath(folder / value))
    split = str(row.get("split") or "").strip().lower()
    split = _OTHER_NAMES.get(split, split)
    if split not in SPLITS:
        raise InputError(f"split is {printable(split)!r}; expected {', '.join(SPLITS)} or nothing")
    given = row.get("weight")
    try:
        weight = 1.0 if given is None or given == "" else float(given)
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0.0):
        raise InputError(f"weight is {given!r}; expected a number of at least 0")
    group = row.get("group")
    return ListedPair(
        files[0], files[1], split, weight, None if group in (None, "") else str(group)
    )
