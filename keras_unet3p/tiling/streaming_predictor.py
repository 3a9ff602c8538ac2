"""Segmentation of images larger than memory."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from keras_unet3p.errors import InputError, needing
from keras_unet3p.files import locked, naming_full_disk, printable, reserve_space
from keras_unet3p.geometry import AxisTile, Tile, TileGeometry, TileGrid
from keras_unet3p.images.stretching import intensity_range, stretch
from keras_unet3p.images.unit_values import scaled
from keras_unet3p.postprocessing.class_ids import largest_id, to_class_ids
from keras_unet3p.postprocessing.instance_rule import InstanceRule
from keras_unet3p.progress import reporting
from keras_unet3p.tiling.run_journal import RunJournal
from keras_unet3p.tiling.runners import runner_of
from keras_unet3p.tiling.symmetries import averaged, check_versions
from keras_unet3p.tiling.tile_runner import TileRunner

Ends: TypeAlias = tuple[np.ndarray, np.ndarray] | None
"""What becomes 0 and 1 in the image, for each channel; None if it is not stretched."""


class StreamingPredictor:
    """Segments an image window by window. Its memory does not grow with the area of the image.

    Windows are read from anything that can be sliced along two axes: a NumPy array, a memory map,
    a Zarr array, a TIFF opened as one. Results are written, as soon as they are final, to anything
    that windows can be assigned to. In memory are the tiles being computed and the positions of
    the tile columns; with blending also a band as wide as the image and `2 * blend` pixels high.

    A classification-guided model decides for each tile separately whether it holds an object.

    Args:
        model: a Keras model, its `.keras` file, a run folder, the folder of an exported SavedModel,
            or an object with `predict_tiles(tiles)`, such as the endpoint's client. For the last
            one TensorFlow is not imported.
        tile_size, halo, blend: see `model_geometry`. A SavedModel has its own.
        geometry: replaces the three arguments above.
        batch_size: number of tiles in one call of the model.
        threshold: for one class, a pixel belongs to class 1 if its probability is at least this.
            For classes that may overlap, the same holds for each class. None takes the threshold
            of the exported model or of the run, and 0.5 for other models. Small objects and holes
            stay: a row of tiles does not show a whole one.
        rule: what makes instances of a network's maps, for `kind="instances"`. None takes that of
            the exported model or of the run.
        test_time_augmentation: the mean over 2, 4 or 8 mirrored and turned versions of each tile,
            in as many times the time, as `InGraphTiler`. None takes that of the exported model or
            of the run, and 1 (none) for other models.
        seconds_between_records: how often progress is written to the journal. A killed run
            repeats at most this much work.
        pixels_between_releases: after this many pixels, the pages of memory maps are given back
            to the system.

    Raises:
        ValueError: see `runners.runner_of`.

    Example:
        >>> import numpy as np
        >>> from keras_unet3p.models import unet
        >>> predictor = StreamingPredictor(unet(filters=2, depth=2), tile_size=32)
        >>> predictor.predict(np.zeros((50, 70), np.uint8), progress=False).shape
        (50, 70)
    """

    def __init__(
        self,
        model: Any,
        *,
        tile_size: int | tuple[int, int] = 512,
        halo: int | str | None = None,
        blend: int | None = None,
        geometry: TileGeometry | None = None,
        batch_size: int = 1,
        threshold: float | None = None,
        rule: InstanceRule | None = None,
        test_time_augmentation: int | None = None,
        seconds_between_records: float = 2.0,
        pixels_between_releases: int = 2**24,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, found {batch_size}")
        self._run = runner_of(model, tile_size=tile_size, halo=halo, blend=blend, geometry=geometry)
        self.geometry = self._run.geometry
        self.batch_size = batch_size
        if threshold is None:
            threshold = self._run.threshold
        self.threshold = threshold
        self.rule = self._run.rule if rule is None else rule
        versions = test_time_augmentation
        self.test_time_augmentation = (
            self._run.test_time_augmentation if versions is None else versions
        )
        check_versions(self.test_time_augmentation, self.geometry)
        self._compute = averaged(self._run, self.test_time_augmentation)
        self._seconds_between_records = seconds_between_records
        self._pixels_between_releases = pixels_between_releases

    def predict(
        self,
        image: Any,
        output: Any = None,
        *,
        kind: str = "classes",
        journal: str | os.PathLike | None = None,
        progress: bool | Callable[[int, int], None] = True,
    ) -> Any:
        """Segment `image`.

        Args:
            image: (H, W) or (H, W, C), sliceable: float in unit values, bool, or integers of 8 or
                16 bits, which are divided by the largest value of their type. A model that was
                exported with `value_scale="raw"` takes the values that it was trained on. Or the
                path of a .npy file, or of one of the other formats of `images.open_planes`
                that holds one image.
            output: where the result goes. None makes a NumPy array. A path must end in .npy; the
                file is written under a temporary name, its space is reserved at the start, and it
                appears when it is complete. Anything else of the result's shape that windows can
                be assigned to is filled; of instances it is written twice, and read in between.
            kind: "classes" gives class ids (H, W), uint8 for up to 256 classes and uint16 or
                uint32 for more. Where classes may overlap (one sigmoid per class) it gives one map
                per class, uint8 (H, W, K) of 0 and 1. "probabilities" gives float32 (H, W, K).
                "instances" gives int32 (H, W), the ids that `rule.instances` gives of the whole
                image's maps: no object is cut, and each number is there once. The maps lie on the
                disk until then, 8 bytes for each pixel: as OUTPUT.maps.npy, or beside the journal,
                or where temporary files go.
            journal: file that records the finished tiles, so that the same call continues where a
                killed one stopped. If `output` is a path, the journal is OUTPUT.journal by
                default. If `output` is an array, it must be the one that the killed call wrote to,
                and the journal must be named. The journal is deleted at the end.
            progress: True shows a progress bar. A function is called with the number of finished
                tiles and the number of all tiles.

        Returns:
            The output; for a path, a read-only memory map of it.

        Raises:
            ValueError: if image, output or journal does not fit, or another process writes to
                output or journal.
            OSError: if the disk is full.
        """
        if kind not in ("classes", "probabilities", "instances"):
            raise InputError(
                f"kind must be 'classes', 'probabilities' or 'instances', found {kind!r}"
            )
        rule = self.rule if kind == "instances" else None
        if kind == "instances" and rule is None:
            raise InputError(
                "kind: 'instances' needs a rule, and this model tells none; give rule, an "
                "InstanceRule"
            )
        if isinstance(image, (str, os.PathLike)):
            image = _plane_of(Path(image))
        height, width, channels = _image_size(image, self._run)
        if journal is not None and output is None:
            raise InputError(
                f"journal {os.fspath(journal)} needs an output that is kept after this process "
                "ends: a .npy file, or an array on disk; found None"
            )
        target = Path(output) if isinstance(output, (str, os.PathLike)) else None
        if target is not None and target.suffix != ".npy":
            raise InputError(f"output must be a .npy file or an array, found {target}")
        if target is not None and journal is None:
            journal = _journal_of(target)
        with contextlib.ExitStack() as held:
            for path in _written(target, journal):
                lock = path.with_name(f"{path.name}.lock")
                held.enter_context(locked(lock, f"output {printable(path)}"))
            log = None
            if journal is not None:
                log = RunJournal(
                    Path(journal),
                    {
                        "image": [height, width, channels],
                        "dtype": str(image.dtype),
                        "pixels": _fingerprint(image),
                        "kind": kind,
                        "threshold": self.threshold,
                        **({} if rule is None else {"rule": rule.to_dict()}),
                        "geometry": self.geometry.to_dict(),
                        "model": self.identity,
                    },
                )
                held.callback(log.close)
            sink = _Sink(self, output, target, kind, (height, width))
            if rule is not None:
                return self._instances(image, sink, rule, log, progress)
            return self._predict(image, sink, log, progress)

    def predict_window(
        self,
        image: Any,
        window: tuple[int, int, int, int],
        *,
        kind: str = "classes",
        ends: Ends | str = "image",
    ) -> np.ndarray:
        """Segment a part of `image`: the very pixels that `predict` gives there.

        It computes the tiles that reach into the window and adds them up in the order in which
        `predict` does. So parts of an image may be segmented at different times and places.

        Args:
            image: as for `predict`.
            window: (y0, y1, x0, x1) pixels within the image, not empty.
            kind: "classes" or "probabilities", as for `predict`.
            ends: for a model that stretches images by their percentiles, what becomes 0 and 1 (see
                `intensity_ends`); "image" finds it out, for which all of the image is read.

        Returns:
            (y1 - y0, x1 - x0) class ids, or with a last dimension K, as `predict`.

        Raises:
            ValueError: image or window does not fit.

        Example:
            >>> from keras_unet3p.models import unet
            >>> predictor = StreamingPredictor(unet(filters=2, depth=2), tile_size=32)
            >>> predictor.predict_window(np.zeros((50, 70), np.uint8), (20, 40, 0, 70)).shape
            (20, 70)
        """
        if kind not in ("classes", "probabilities"):
            raise InputError(f"kind must be 'classes' or 'probabilities', found {kind!r}")
        height, width, _ = _image_size(image, self._run)
        y0, y1, x0, x1 = window
        if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
            raise InputError(
                f"window is {window}; expected (y0, y1, x0, x1) within {height} x {width} pixels, "
                "not empty"
            )
        if isinstance(ends, str):
            ends = self.intensity_ends(image)
        tiles = self.geometry.tiles(height, width)
        rows = _reaching(y0, y1, [tiles[row * tiles.columns].y for row in range(tiles.rows)])
        columns = _reaching(x0, x1, [tiles[column].x for column in range(tiles.columns)])
        order = [row * tiles.columns + column for row in rows for column in columns]
        bands = _Bands(tiles.columns, columns[0])
        found: np.ndarray | None = None
        for first in range(0, len(order), self.batch_size):
            group = order[first : first + self.batch_size]
            batch = self._read(image, ends, [tiles[index] for index in group])
            for index, output in zip(group, self._compute(batch), strict=True):
                (top, bottom, left, right), values = bands.finish(tiles, index, output)
                if kind == "classes":
                    values = to_class_ids(values, self.threshold, multi_label=self._run.multi_label)
                if found is None:
                    found = np.empty((y1 - y0, x1 - x0, *values.shape[2:]), values.dtype)
                rows_in = slice(max(top, y0), min(bottom, y1))
                columns_in = slice(max(left, x0), min(right, x1))
                if rows_in.start < rows_in.stop and columns_in.start < columns_in.stop:
                    found[
                        rows_in.start - y0 : rows_in.stop - y0,
                        columns_in.start - x0 : columns_in.stop - x0,
                    ] = values[
                        rows_in.start - top : rows_in.stop - top,
                        columns_in.start - left : columns_in.stop - left,
                    ]
        assert found is not None
        return found

    @property
    def identity(self) -> str:
        """The model's: two of one identity give the same."""
        if self.test_time_augmentation == 1:
            return self._run.identity
        return f"{self._run.identity}, mean of {self.test_time_augmentation} versions"

    def intensity_ends(self, image: Any) -> Ends:
        """What becomes 0 and 1 of an image, for each channel; None if this model stretches none.

        All of the image is read for it.

        Example:
            >>> from keras_unet3p.models import unet
            >>> predictor = StreamingPredictor(unet(filters=2, depth=2), tile_size=32)
            >>> predictor.intensity_ends(np.zeros((50, 70), np.uint8)) is None
            True
        """
        if self._run.percentiles is None:
            return None
        value_scale = "raw" if self._run.is_raw else "unit"
        return intensity_range(image, self._run.percentiles, value_scale)

    def _instances(self, image, sink: _Sink, rule: InstanceRule, log: RunJournal | None, progress):
        # Few use it, and it imports SciPy.
        with needing("instances", "tiling.StreamingPredictor"):
            from keras_unet3p.postprocessing.stitching import instances_by_windows

        with contextlib.ExitStack() as held:
            if log is None:
                folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
                path = folder / "maps.npy"
            else:
                of_run = sink.target or log.path
                path = of_run.with_name(f"{of_run.name}.maps.npy")
            # The journal's one number: whether the maps beside it are of this run.
            if log is not None and not log.finished:
                for stale in (path, _partial(path), _journal_of(path)):
                    stale.unlink(missing_ok=True)
                log.record(1)
            if not path.exists():
                self.predict(image, path, kind="probabilities", progress=progress)
            maps = np.load(path, mmap_mode="r")
            ids = sink.ids()
            with reporting(progress is True, 1, "numbering") as report:

                def release(done: int, total: int) -> None:
                    report(done, total)
                    _release(maps)
                    sink.release()

                instances_by_windows(maps, ids, rule, progress=release)
            del ids
            result = sink.finish()
            if log is not None:
                path.unlink()
                log.remove()
        return result

    def _predict(self, image, sink: _Sink, log: RunJournal | None, progress):
        tiles = self.geometry.tiles(*image.shape[:2])
        ends = self.intensity_ends(image)
        done = log.finished if log else 0
        if log and sink.target is not None and not (done and sink.partial.exists()):
            sink.partial.unlink(missing_ok=True)
            done = 0
            log.record(done)
        with reporting(progress, len(tiles), "segmenting") as report:
            report(done, len(tiles))
            last_record = time.monotonic()
            release_every = max(self._pixels_between_releases // math.prod(self.geometry.core), 1)
            last_release = done
            for finished in self._segment(image, ends, tiles, done, sink):
                report(finished, len(tiles))
                if finished - last_release >= release_every:
                    _release(image)
                    sink.release()
                    last_release = finished
                if log and time.monotonic() - last_record > self._seconds_between_records:
                    sink.flush()
                    log.record(finished)
                    last_record = time.monotonic()
        result = sink.finish()
        if log:
            log.remove()
        return result

    def _segment(self, image, ends: Ends, tiles: TileGrid, done: int, sink: _Sink) -> Iterator[int]:
        """Runs the tiles from number `done` on; yields the number of finished ones per step."""
        columns = tiles.columns
        start = done
        if self.geometry.blend:
            # The row above overlaps the first unfinished one. It is computed again for that, but
            # not written again.
            start = max(done // columns - 1, 0) * columns
        steps = range(start, len(tiles), self.batch_size)
        bands = _Bands(columns)
        with ThreadPoolExecutor(1) as reader:
            read = [
                reader.submit(self._read, image, ends, tiles[i : i + self.batch_size])
                for i in steps[:1]
            ]
            for n, first in enumerate(steps):
                batch = read.pop(0).result()
                if n + 1 < len(steps):
                    following = steps[n + 1]
                    group = tiles[following : following + self.batch_size]
                    read.append(reader.submit(self._read, image, ends, group))
                probabilities = self._compute(batch)
                for offset, values in enumerate(probabilities):
                    index = first + offset
                    window, values = bands.finish(tiles, index, values)
                    if index >= done:
                        sink.write(window, values)
                yield min(max(first + self.batch_size, done), len(tiles))

    def _read(self, image, ends: Ends, tiles: list[Tile]) -> np.ndarray:
        return np.stack([_read_tile(image, ends, tile, self._run.is_raw) for tile in tiles])


class _Bands:
    """Adds up the weighted outputs of neighbouring tiles where they overlap.

    Tiles come row by row, each row from column `first` on. Of each tile, the columns that the next
    tile overlaps are kept until that tile comes, and the lines that the next row overlaps are kept
    until that row comes.
    """

    def __init__(self, columns: int, first: int = 0) -> None:
        self._columns, self._first = columns, first
        self._right: np.ndarray | None = None
        self._above: dict[int, np.ndarray] = {}
        self._below: dict[int, np.ndarray] = {}

    def finish(self, tiles: TileGrid, index: int, output: np.ndarray):
        """((y0, y1, x0, x1), values) of the pixels that become final with this tile."""
        tile = tiles[index]
        y, x = tile.y, tile.x
        values = output[y.crop_start : y.crop_stop, x.crop_start : x.crop_stop]
        column = index % self._columns
        if column == self._first:
            self._right = None
            self._above, self._below = self._below, {}
        if any(w != 1.0 for w in (*y.weights, *x.weights)):
            weights = np.outer(y.weights, x.weights).astype(np.float32)
            values = values * weights[..., np.newaxis]
        if self._right is not None and self._right.size:
            values[:, : self._right.shape[1]] += self._right
        stop_y, stop_x = y.write_stop, x.write_stop
        if column + 1 < self._columns:
            stop_x = tiles[index + 1].x.write_start
            self._right = values[:, stop_x - x.write_start :].copy()
            values = values[:, : stop_x - x.write_start]
        above = self._above.pop(column, None)
        if above is not None and above.size:
            values[: above.shape[0]] += above
        if index + self._columns < len(tiles):
            stop_y = tiles[index + self._columns].y.write_start
            rest = values[stop_y - y.write_start :]
            if rest.size:
                self._below[column] = rest.copy()
            values = values[: stop_y - y.write_start]
        return (y.write_start, stop_y, x.write_start, stop_x), values


def _reaching(start: int, stop: int, tiles: list[AxisTile]) -> list[int]:
    """The tiles along an axis whose outputs are added up between two places."""
    return [
        place
        for place, tile in enumerate(tiles)
        if tile.write_start < stop and tile.write_stop > start
    ]


def _written(target: Path | None, journal: str | os.PathLike | None) -> list[Path]:
    """The files that no other run may write to. The output's lock covers the default journal."""
    paths = [] if target is None else [target]
    if journal is not None and (target is None or Path(journal) != _journal_of(target)):
        paths.append(Path(journal))
    return paths


def _journal_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.journal")


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.partial")


class _Sink:
    """Where results are written."""

    def __init__(self, predictor: StreamingPredictor, output, target: Path | None, kind, size):
        self._threshold = predictor.threshold
        self._multi_label = predictor._run.multi_label
        self._kind, self._size = kind, size
        self.target = target
        self._array = None if target is not None else output
        self.partial = _partial(target) if target else Path()
        self._own_file: tuple[int, int] | None = None
        if isinstance(output, np.memmap) and output.filename and output.mode in ("r+", "w+"):
            reserve_space(output.filename, os.path.getsize(output.filename))

    def write(self, window: tuple[int, int, int, int], values: np.ndarray) -> None:
        largest = None
        if self._kind == "classes":
            largest = largest_id(values.shape[-1], self._multi_label)
            values = to_class_ids(values, self._threshold, multi_label=self._multi_label)
        array = self._open(values, largest)
        array[window[0] : window[1], window[2] : window[3]] = values

    def ids(self) -> Any:
        """The output of instances, which is read again: `write` is not for them."""
        if self._array is not None:
            return self._array  # where its type or shape does not fit, `instances_by_windows` says
        return self._open(np.empty((0, 0), np.int32), None)

    def _open(self, values: np.ndarray, largest: int | None):
        shape = self._size + values.shape[2:]
        if self._array is None:
            if self.target is None:
                self._array = np.empty(shape, values.dtype)
            else:
                if not self.partial.exists():
                    self._make_partial(values.dtype, shape)
                self._array = np.lib.format.open_memmap(self.partial, "r+")
                self._own_file = _file_identity(self.partial)
        if tuple(self._array.shape) != shape:
            raise InputError(f"output must have shape {shape}, found {tuple(self._array.shape)}")
        if not _can_hold(np.dtype(self._array.dtype), values.dtype, largest):
            raise InputError(
                f"output must be able to hold {values.dtype}, found {self._array.dtype}"
            )
        return self._array

    def _make_partial(self, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        temporary = self.partial.with_name(f"{self.partial.name}.tmp")
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        try:
            with naming_full_disk(temporary), open(temporary, "wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                size = file.tell() + math.prod(shape) * dtype.itemsize
            reserve_space(temporary, size)
            os.replace(temporary, self.partial)
        finally:
            temporary.unlink(missing_ok=True)

    def release(self) -> None:
        _release(self._array)

    def flush(self) -> None:
        if self._array is not None and hasattr(self._array, "flush"):
            self._array.flush()

    def finish(self):
        if self.target is None:
            self.flush()
            return self._array
        if self._array is not None:
            self._array.flush()
            self._array = None
            # Normally the lock prevents this. But a lock file can be deleted, and some network
            # drives have no locks.
            if _file_identity(self.partial) != self._own_file:
                raise InputError(
                    f"{printable(self.partial)} is no longer the file that this run wrote: another "
                    f"process has replaced it; run it again to make {printable(self.target)}"
                )
        os.replace(self.partial, self.target)
        return np.load(self.target, mmap_mode="r")


def _file_identity(path: Path) -> tuple[int, int] | None:
    """Tells a file from another one that replaced it under the same name; None if it is gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _can_hold(own: np.dtype, given: np.dtype, largest: int | None) -> bool:
    """Whether an array of type `own` can store values of type `given`, or ids up to `largest`."""
    if not np.can_cast(given, own, "same_kind"):
        return False
    return largest is None or own.kind not in "iu" or largest <= np.iinfo(own).max


def _plane_of(path: Path) -> Any:
    return np.load(path, mmap_mode="r") if path.suffix.lower() == ".npy" else only_plane(path)


def only_plane(path: Path) -> Any:
    """The one image of a file of `images.open_planes`.

    Raises:
        ValueError: the file cannot be read in windows, or holds several images.

    Example:
        >>> np.save("image.npy", np.zeros((50, 70), np.uint8))
        >>> only_plane(Path("image.npy")).shape
        (50, 70, 1)
    """
    try:
        from keras_unet3p.images.file_source import open_planes
    except ModuleNotFoundError:  # the client's distribution has no readers of files
        raise InputError(
            f"image: {printable(path)}; expected a .npy file, or anything that can be sliced"
        ) from None
    planes = open_planes(path)
    if len(planes) > 1:
        raise InputError(
            f"image: {printable(path)} holds {len(planes)} images; give one of "
            "images.open_planes(path)"
        )
    return planes[0]


def _image_size(image, runner: TileRunner) -> tuple[int, int, int]:
    shape = tuple(image.shape)
    if len(shape) not in (2, 3) or 0 in shape:
        raise InputError(f"image must be (H, W) or (H, W, C), found shape {shape}")
    found = shape[2] if len(shape) == 3 else 1
    if runner.channels is not None and found != runner.channels:
        raise InputError(
            f"image must have {runner.channels} channels for this model, found {found}"
        )
    dtype = np.dtype(image.dtype)
    is_wide = dtype.kind in "ui" and dtype.itemsize > 2
    if dtype.kind not in "uifb" or (is_wide and not runner.is_raw):
        raise InputError(
            f"image must be float, bool, or integers of 8 or 16 bits, found {image.dtype}"
        )
    return shape[0], shape[1], found


def _fingerprint(image) -> str:
    """A digest of 25 small windows: tells images of equal shape apart, however they are stored."""
    digest = hashlib.sha256()
    for row, column in itertools.product(range(5), range(5)):
        top, left = (side * n // 5 for side, n in zip(image.shape[:2], (row, column), strict=True))
        digest.update(np.ascontiguousarray(image[top : top + 32, left : left + 32]).data)
    return digest.hexdigest()


def _read_tile(image, ends: Ends, tile: Tile, is_raw: bool) -> np.ndarray:
    window = np.asarray(
        image[tile.y.source_start : tile.y.source_stop, tile.x.source_start : tile.x.source_stop]
    )
    rows, columns = (_sources(tile.y, image.shape[0]), _sources(tile.x, image.shape[1]))
    window = window[rows][:, columns]
    if window.ndim == 2:
        window = window[..., np.newaxis]
    window = scaled(window, "raw" if is_raw else "unit")
    if ends is not None:
        window = stretch(window, *ends, out=window)
    if tile.y.zeros_after or tile.x.zeros_after:
        window = np.pad(window, ((0, tile.y.zeros_after), (0, tile.x.zeros_after), (0, 0)))
    return window


def _sources(axis, length: int):
    if not axis.mirror_before and not axis.mirror_after:
        return slice(None)
    return [place - axis.source_start for place in axis.sources(length)]


def _release(array: Any) -> None:
    """Gives the used pages of a memory map back to the system.

    A copy-on-write map keeps its pages: its changes are stored nowhere else.
    """
    mapping: Any = array if getattr(array, "mode", "c") != "c" else None
    while isinstance(mapping, np.ndarray):
        mapping = mapping.base
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
