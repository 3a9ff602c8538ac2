"""Segmentation of images larger than memory."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.errors import InputError
from keras_unet3p.files import locked, naming_full_disk, printable, reserve_space
from keras_unet3p.geometry import Tile, TileGeometry, TileGrid
from keras_unet3p.targets.foreground import is_foreground
from keras_unet3p.tiling.run_journal import RunJournal
from keras_unet3p.tiling.tile_runner import TileRunner, tile_runner

_SECONDS_BETWEEN_RECORDS = 2.0
_PIXELS_MAPPED = 2**24
"""Pages of memory maps are given back to the system after so many pixels."""


class StreamingPredictor:
    """Segments an image window by window; memory does not grow with the image.

    Windows are read from anything that can be sliced in two axes (a NumPy array, a memory map, a
    Zarr array, a TIFF opened as one) and results are written as they are finished to anything that
    can be assigned to in the same way. Only the tiles in flight are held, where the columns of
    tiles lie, and, with blending, a band of the image's width and twice the blend's height.

    A classification-guided model decides tile by tile whether there is anything to draw.

    Args:
        model: a Keras model, its `.keras` file, the folder of an exported SavedModel, or an object
            with `predict_tiles(tiles)` such as the endpoint's client (no TensorFlow is imported
            then).
        tile_size, halo, blend: see `model_geometry`; a SavedModel has its own.
        geometry: replaces these.
        tiles_per_step: tiles that go to the model together.
        threshold: with one class, a pixel is of class 1 from this probability on; with classes that
            may overlap, of each class. None takes that of the exported model, else 0.5.

    Raises:
        ValueError: see `tile_runner`.

    Example:
        >>> model = ku.models.unet(filters=4, depth=1)
        >>> predictor = ku.tiling.StreamingPredictor(model, tile_size=32)
        >>> predictor.predict(np.zeros((40, 50), np.float32), progress=False).shape
        (40, 50)
    """

    def __init__(
        self,
        model: Any,
        *,
        tile_size: int | tuple[int, int] = 512,
        halo: int | str | None = None,
        blend: int | None = None,
        geometry: TileGeometry | None = None,
        tiles_per_step: int = 1,
        threshold: float | None = None,
    ) -> None:
        if tiles_per_step < 1:
            raise InputError(f"tiles_per_step must be at least 1, found {tiles_per_step}")
        self._run = tile_runner(
            model, tile_size=tile_size, halo=halo, blend=blend, geometry=geometry
        )
        self.geometry = self._run.geometry
        self.tiles_per_step = tiles_per_step
        if threshold is None:
            threshold = self._run.threshold
        self.threshold = threshold

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
            image: (H, W) or (H, W, C), sliceable; float in unit values, bool, or integers of 8 or
                16 bits, whose values are divided by their type's largest. For a model that was
                exported with `value_scale="raw"`, the values that it was trained on. Or the path of
                a .npy file.
            output: where the result goes: None makes a NumPy array; the path of a .npy file, which
                is written under a temporary name, in space reserved at the start, and appears when
                it is complete; or anything of the result's shape that windows can be assigned to.
            kind: "classes" gives class ids (H, W), uint8 up to 256 classes and uint16 or uint32
                beyond, or, where classes may overlap (a sigmoid each), a map a class (H, W, K) of 0
                and 1, uint8; "probabilities" (H, W, K) float32.
            journal: file that remembers what is finished, so that the same call continues where a
                killed one stopped. For a path as output it is there by itself, named
                OUTPUT.journal; with an array, which must be the one that holds what the killed call
                wrote, it is to be given. It is deleted at the end.
            progress: True shows a progress bar; or a function of tiles done and tiles in all.

        Returns:
            The output; for a path, a read-only memory map of it.

        Raises:
            ValueError: if image, output or journal does not fit, or another process writes to
                output or journal.
            OSError: the disk is full.
        """
        if kind not in ("classes", "probabilities"):
            raise InputError(f"kind must be 'classes' or 'probabilities', found {kind!r}")
        if isinstance(image, (str, os.PathLike)):
            image = np.load(image, mmap_mode="r")
        height, width, channels = _image_size(image, self._run)
        if journal is not None and output is None:
            raise InputError(
                f"journal {os.fspath(journal)} needs an output that outlasts this process: a .npy "
                "file, or an array on disk; found None"
            )
        target = Path(output) if isinstance(output, (str, os.PathLike)) else None
        if target is not None and target.suffix != ".npy":
            raise InputError(f"output must be a .npy file or an array, found {target}")
        if target is not None and journal is None:
            journal = _journal_of(target)
        tiles = self.geometry.tiles(height, width)
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
                        "geometry": self.geometry.to_dict(),
                        "model": self._run.identity,
                    },
                )
                held.callback(log.close)
            sink = _Sink(self, output, target, kind, (height, width))
            return self._predict(image, tiles, sink, log, progress)

    def _predict(self, image, tiles: TileGrid, sink: _Sink, log: RunJournal | None, progress):
        done = log.finished if log else 0
        if log and sink.target is not None and not (done and sink.partial.exists()):
            sink.partial.unlink(missing_ok=True)
            done = 0
            log.record(done)
        with _reporter(progress, len(tiles)) as report:
            report(done)
            last_record = time.monotonic()
            release_every = max(_PIXELS_MAPPED // math.prod(self.geometry.core), 1)
            last_release = done
            for finished in self._segment(image, tiles, done, sink):
                report(finished)
                if finished - last_release >= release_every:
                    _release(image)
                    sink.release()
                    last_release = finished
                if log and time.monotonic() - last_record > _SECONDS_BETWEEN_RECORDS:
                    sink.flush()
                    log.record(finished)
                    last_record = time.monotonic()
        result = sink.finish()
        if log:
            log.remove()
        return result

    def _segment(self, image, tiles: TileGrid, done: int, sink: _Sink) -> Iterator[int]:
        """Runs the tiles from `done` on, and yields how many are finished after each step."""
        columns = tiles.columns
        start = done
        if self.geometry.blend:
            # The row above reaches into the first unfinished one: it is run again, not written.
            start = max(done // columns - 1, 0) * columns
        steps = range(start, len(tiles), self.tiles_per_step)
        bands = _Bands(columns)
        with ThreadPoolExecutor(1) as reader:
            read = [
                reader.submit(self._read, image, tiles[i : i + self.tiles_per_step])
                for i in steps[:1]
            ]
            for n, first in enumerate(steps):
                batch = read.pop(0).result()
                if n + 1 < len(steps):
                    following = steps[n + 1]
                    group = tiles[following : following + self.tiles_per_step]
                    read.append(reader.submit(self._read, image, group))
                probabilities = self._run(batch)
                for offset, values in enumerate(probabilities):
                    index = first + offset
                    window, values = bands.finish(tiles, index, values)
                    if index >= done:
                        sink.write(window, values)
                yield min(max(first + self.tiles_per_step, done), len(tiles))

    def _read(self, image, tiles: list[Tile]) -> np.ndarray:
        return np.stack([_read_tile(image, tile, self._run.is_raw) for tile in tiles])


class _Bands:
    """Adds up what neighbouring tiles say about the pixels on which they overlap.

    Tiles come row by row. What is to the right of a tile's finished part waits for the next tile,
    what is below it for the next row.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._right: np.ndarray | None = None
        self._above: dict[int, np.ndarray] = {}
        self._below: dict[int, np.ndarray] = {}

    def finish(self, tiles: TileGrid, index: int, output: np.ndarray):
        """((y0, y1, x0, x1), values) of the pixels that are final with this tile."""
        tile = tiles[index]
        y, x = tile.y, tile.x
        values = output[y.crop_start : y.crop_stop, x.crop_start : x.crop_stop]
        column = index % self._columns
        if column == 0:
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


def _written(target: Path | None, journal: str | os.PathLike | None) -> list[Path]:
    """What a run writes to and another one may not; the journal beside its output goes with it."""
    paths = [] if target is None else [target]
    if journal is not None and (target is None or Path(journal) != _journal_of(target)):
        paths.append(Path(journal))
    return paths


def _journal_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.journal")


class _Sink:
    """Where results are written."""

    def __init__(self, predictor: StreamingPredictor, output, target: Path | None, kind, size):
        self._threshold = predictor.threshold
        self._multi_label = predictor._run.multi_label
        self._kind, self._size = kind, size
        self.target = target
        self._array = None if target is not None else output
        self.partial = target.with_name(f"{target.name}.partial") if target else Path()
        self._own_file: tuple[int, int] | None = None
        if isinstance(output, np.memmap) and output.filename and output.mode in ("r+", "w+"):
            reserve_space(output.filename, os.path.getsize(output.filename))

    def write(self, window: tuple[int, int, int, int], values: np.ndarray) -> None:
        largest = None
        if self._kind == "classes":
            if self._multi_label:
                largest, ids = 1, is_foreground(values, self._threshold)
            elif values.shape[-1] == 1:
                largest, ids = 1, is_foreground(values[..., 0], self._threshold)
            else:
                largest, ids = values.shape[-1] - 1, values.argmax(-1)
            values = ids.astype(np.min_scalar_type(largest))
        array = self._open(values, largest)
        array[window[0] : window[1], window[2] : window[3]] = values

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
            # The lock sees to it; but a lock can be deleted, and not every network drive has them.
            if _file_identity(self.partial) != self._own_file:
                raise InputError(
                    f"{printable(self.partial)} is no longer the file that this run wrote: another "
                    f"process has replaced it; run it again to make {printable(self.target)}"
                )
        os.replace(self.partial, self.target)
        return np.load(self.target, mmap_mode="r")


def _file_identity(path: Path) -> tuple[int, int] | None:
    """Tells files apart that follow each other under one name; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _can_hold(own: np.dtype, given: np.dtype, largest: int | None) -> bool:
    """Whether an array of type `own` takes values of type `given`, of class ids up to `largest`."""
    if not np.can_cast(given, own, "same_kind"):
        return False
    return largest is None or own.kind not in "iu" or largest <= np.iinfo(own).max


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
    """Tells images of one shape apart by some of their pixels, the same however they are stored."""
    digest = hashlib.sha256()
    for row, column in itertools.product(range(5), range(5)):
        top, left = (side * n // 5 for side, n in zip(image.shape[:2], (row, column), strict=True))
        digest.update(np.ascontiguousarray(image[top : top + 32, left : left + 32]).data)
    return digest.hexdigest()


def _read_tile(image, tile: Tile, is_raw: bool) -> np.ndarray:
    window = np.asarray(
        image[tile.y.source_start : tile.y.source_stop, tile.x.source_start : tile.x.source_stop]
    )
    rows, columns = (_sources(tile.y, image.shape[0]), _sources(tile.x, image.shape[1]))
    window = window[rows][:, columns]
    if window.ndim == 2:
        window = window[..., np.newaxis]
    if tile.y.zeros_after or tile.x.zeros_after:
        window = np.pad(window, ((0, tile.y.zeros_after), (0, tile.x.zeros_after), (0, 0)))
    divide = window.dtype.kind in "ui" and not is_raw
    scale = float(np.iinfo(window.dtype).max) if divide else 1.0
    return window.astype(np.float32) / np.float32(scale)


def _sources(axis, length: int):
    if not axis.mirror_before and not axis.mirror_after:
        return slice(None)
    return [place - axis.source_start for place in axis.sources(length)]


def _release(array: Any) -> None:
    """Gives the pages of a memory map that were read or written back to the system.

    Not those of a copy-on-write map: changes to it are nowhere else.
    """
    mapping: Any = array if getattr(array, "mode", "c") != "c" else None
    while isinstance(mapping, np.ndarray):
        mapping = mapping.base
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


@contextlib.contextmanager
def _reporter(progress: bool | Callable[[int, int], None], total: int):
    if callable(progress):
        yield lambda done: progress(done, total)
    elif progress:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("Segmenting", total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield lambda done: None
