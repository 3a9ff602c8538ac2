"""The formats of annotations, and how one is told from another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from keras_unet3p.annotations.annotation_set import AnnotationSet
from keras_unet3p.annotations.coco import read_coco
from keras_unet3p.annotations.entries import read_json
from keras_unet3p.annotations.geojson import read_geojson
from keras_unet3p.annotations.image_sizes import KnownImage
from keras_unet3p.annotations.imagej import read_imagej
from keras_unet3p.annotations.label_studio import read_label_studio
from keras_unet3p.annotations.labelme import read_labelme
from keras_unet3p.config import MAX_PIXELS
from keras_unet3p.errors import InputError, ProblemsError
from keras_unet3p.files import printable
from keras_unet3p.images.decoding import EXTENSIONS

READERS: dict[str, Callable[..., AnnotationSet]] = {
    "coco": read_coco,
    "labelme": read_labelme,
    "geojson": read_geojson,
    "imagej": read_imagej,
    "labelstudio": read_label_studio,
}
SOURCES = ("masks", *READERS)
"""The formats that are read."""
SUFFIXES = {
    "masks": EXTENSIONS,
    "coco": (".json",),
    "labelme": (".json",),
    "geojson": (".geojson", ".json"),
    "imagej": (".zip", ".roi"),
    "labelstudio": (".json",),
}
_WITHOUT_SIZE = ("geojson", "imagej")
_LOOKED_FOR = (".geojson", ".json", ".zip", ".roi", *EXTENSIONS)


def find_format(source: str | os.PathLike[str]) -> str:
    """The format of a file or of the files of a folder: one of `SOURCES`.

    Of a folder that holds annotations and images, the annotations count.

    Raises:
        ValueError: it is none of them, or there is no such file.

    Example:
        >>> length = Path("cells.json").write_text('{"images": [], "annotations": []}')
        >>> find_format("cells.json")
        'coco'
    """
    paths = _files(Path(source), _LOOKED_FOR)
    suffixes = [path.suffix.lower() for path in paths]
    for suffix in _LOOKED_FOR:
        if suffix not in suffixes:
            continue
        if suffix == ".json":
            return _json_format(paths[suffixes.index(suffix)])
        return next(name for name, own in SUFFIXES.items() if suffix in own)
    raise InputError(f"{printable(source)}: no format is known for it")


def _json_format(path: Path) -> str:
    content = read_json(path)
    first = content[0] if isinstance(content, list) and content else content
    entry = first if isinstance(first, dict) else {}
    keys = set(entry)
    if isinstance(content, list) and {"data", "annotations"} <= keys:
        return "labelstudio"
    if {"images", "annotations"} <= keys:
        return "coco"
    if {"shapes", "imagePath"} <= keys:
        return "labelme"
    if first is not content and "image" in keys:
        raise InputError(
            f"{printable(path)}: an export of Label Studio as JSON-MIN; export it as JSON"
        )
    if entry.get("type") in ("Feature", "FeatureCollection"):
        return "geojson"
    raise InputError(
        f"{printable(path)}: neither COCO, LabelMe, GeoJSON nor an export of Label Studio"
    )


def _files(source: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"there is no file or folder {printable(source)}")
    found = [path for path in sorted(source.iterdir()) if path.is_file()]
    found = [path for path in found if path.suffix.lower() in suffixes and path.name[0] != "."]
    if not found:
        raise InputError(
            f"{printable(source)}: holds no annotations; expected files of {', '.join(suffixes)}"
        )
    return found


def read_annotations(
    source: str | os.PathLike[str],
    name: str,
    images: Mapping[str, KnownImage] | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> AnnotationSet:
    """Read a file of annotations, or all files of a folder.

    Args:
        source: the file or folder.
        name: the format, one of `SOURCES` other than masks.
        images: of `known_images`. GeoJSON and ROIs tell no sizes and need it.
        max_pixels: larger images are refused.

    Raises:
        ValueError: files or entries in them are broken, or two are of one image; the message lists
            all of them.

    Example:
        >>> length = Path("a.geojson").write_text('{"type": "FeatureCollection", "features": []}')
        >>> found = read_annotations("a.geojson", "geojson", {"a": KnownImage("a.png", 2, 3)})
        >>> [image.name for image in found.images]
        ['a']
    """
    if images is None and name in _WITHOUT_SIZE:
        raise InputError(
            f"images: {name} tells no sizes of images; give the folder of the images (--images)"
        )
    found, problems = AnnotationSet(), []
    origins: dict[str, Path] = {}
    paths = _files(Path(source), SUFFIXES[name])
    for path in paths:
        try:
            one = READERS[name](path, images, max_pixels=max_pixels)
        except ProblemsError as error:
            problems += error.problems
        except InputError as error:
            problems.append(str(error))
        else:
            for image in one.images:
                if image.name in origins:
                    problems.append(
                        f"{printable(origins[image.name])}, {printable(path)}: "
                        f"both annotate the image {printable(image.name)!r}"
                    )
                origins[image.name] = path
            found.add(one)
    if problems:
        raise ProblemsError(f"{printable(source)} cannot be converted", problems)
    return found
