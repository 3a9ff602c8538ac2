"""One image of any size, segmented chunk by chunk by the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_unet3p.artifacts import ModelCard, ModelSource
from keras_unet3p.client import Client, EndpointAddress, access_of_environment
from keras_unet3p.errors import InputError, needing
from keras_unet3p.files import locked, printable
from keras_unet3p.line_journal import LineJournal
from keras_unet3p.postprocessing import InstanceRule
from keras_unet3p.progress import Progress, reporting
from keras_unet3p.tiling.streaming_predictor import Ends, StreamingPredictor, only_plane
from keras_unet3p.workflow.image_stamp import stamp_of_image
from keras_unet3p.workflow.network_of_source import network_of
from keras_unet3p.workflow.opening import versions_of

_ASKED = "keras_unet3p"  # the attribute that says what was asked for
_KINDS = ("auto", "classes", "probabilities", "instances")
_AHEAD = 2  # chunks for each thread of the cluster that wait or are computed
_RETRIES = 3
_SIDE, _SIDE_OF_MAPS = 8192, 4096  # of a chunk, about, pixels


@dataclasses.dataclass(frozen=True)
class ClusterModel:
    """A model as each worker opens it for itself.

    Attributes:
        model: run folder, `.keras` file or exported model, by a path that every worker reads; or
            the URL of an endpoint, `http://HOST:PORT/MODEL`, which then computes.
        tile_size, batch_size: as `StreamingPredictor`.
        card: of an endpoint's model, the content of its model card.

    Example:
        >>> ClusterModel("models/cells/1").batch_size
        1
    """

    model: str
    tile_size: int = 512
    batch_size: int = 1
    card: str | None = None

    def open(self) -> StreamingPredictor:
        """The predictor; in a process it is made once."""
        return _opened(self)


@functools.lru_cache(maxsize=1)
def _opened(model: ClusterModel) -> StreamingPredictor:
    if model.card is None:
        source, sizes = ModelSource.of(model.model), (model.tile_size, model.batch_size)
        if source.kind != "preset":
            return StreamingPredictor(model.model, tile_size=sizes[0], batch_size=sizes[1])
        chosen = source.postprocessing()
        return StreamingPredictor(
            network_of(source),
            tile_size=sizes[0],
            batch_size=sizes[1],
            rule=InstanceRule.from_dict(chosen.rule()) if chosen is not None else None,
            test_time_augmentation=versions_of(chosen),
        )
    card = ModelCard(**json.loads(model.card))
    training = card.training
    rule = InstanceRule.from_dict(card.rule()) if training.mask_kind == "instances" else None
    return StreamingPredictor(
        _EndpointTiles(model.model, card),
        geometry=card.geometry,
        batch_size=model.batch_size,
        threshold=card.threshold,
        rule=rule,
        test_time_augmentation=card.test_time_augmentation,
    )


class _EndpointTiles:
    """The network behind an endpoint, as the streaming predictor takes one."""

    def __init__(self, url: str, card: ModelCard) -> None:
        address = EndpointAddress.of(url)
        self.url, self.multi_label = url, card.multi_label
        self.percentiles = card.normalization.percentiles
        self._client = Client(
            address.server,
            address.model,
            version=address.version,
            label=address.label,
            **access_of_environment(address.server),
        )

    def predict_tiles(self, tiles: np.ndarray) -> np.ndarray:
        return self._client.predict_tiles(tiles)


def predict_on_cluster(
    model: str | os.PathLike[str],
    image: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    kind: str = "auto",
    chunk: int | None = None,
    tile_size: int = 512,
    batch_size: int = 1,
    card: str | os.PathLike[str] | None = None,
    progress: Progress = False,
) -> Path:
    """Segment one image with the workers of a Dask cluster, chunk by chunk.

    The result is that of `StreamingPredictor.predict`, pixel for pixel. A worker computes the tiles
    that reach into a chunk and writes the chunk; those between two chunks are computed for both,
    which is about `2 * tile / chunk` of the work. Few more chunks than the cluster has threads are
    under way at a time, so that the memory of a worker, and of the scheduler, does not grow with
    the image. A chunk whose worker was lost is computed by another one. A call that was killed goes
    on with the chunks that are not finished.

    Args:
        model: run folder, `.keras` file or exported model, by a path that every worker can read; a
            preset; or the URL of an endpoint, whose machines then compute.
        image: what `images.open_planes` reads (OME-Zarr, a tiled TIFF, a whole slide, `.npy`), or
            a Zarr array, by a path that every worker can read.
        out: the Zarr array that is written, (H, W), or (H, W, K) where classes may overlap. It is
            named so when it is complete, and OUT.partial before.
        scheduler: address of a Dask scheduler, `tcp://HOST:8786`. Its workers need this package.
        workers: number of processes of a cluster on this machine, in place of `scheduler`.
        kind: `"classes"`, `"probabilities"` or `"instances"`; see `StreamingPredictor.predict`. Of
            instances the maps come from the workers; they are numbered here, window by window.
            `"auto"`: instances where the model tells them apart, else classes.
        chunk: side of a chunk, pixels, rounded to a multiple of what a tile gives; None is 8192, or
            4096 where probabilities are written.
        tile_size: side of the tiles of runs and `.keras` files, pixels.
        batch_size: number of tiles in one call of the network.
        card: of an endpoint's model, its `model_card.json`.
        progress: as `predict`; of chunks.

    Returns:
        The path of the array.

    Raises:
        ValueError: an argument does not fit, or another process writes to `out`.
        RuntimeError: a chunk could not be computed; the message is its worker's.

    Example:
        >>> predict_on_cluster("runs/cells", "slide.tif", "mask.zarr", workers=4)  # doctest: +SKIP
        PosixPath('mask.zarr')
    """
    if (scheduler is None) == (workers is None):
        raise InputError("scheduler, workers: give one of them")
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, found {workers}")
    if kind not in _KINDS:
        raise InputError(f"kind must be one of {', '.join(map(repr, _KINDS))}, found {kind!r}")
    with needing("cluster", "workflow.predict_on_cluster"):
        import distributed
        import zarr
    plan = _Plan.of(model, image, kind, chunk, tile_size, batch_size, card)
    out = Path(out)
    with (
        locked(out.with_name(f"{out.name}.lock"), f"output {printable(out)}"),
        _cluster(distributed, scheduler, workers) as client,
    ):
        if out.exists():
            raise InputError(
                f"out: {printable(out)} is there already; remove it, or choose another name"
            )
        if plan.kind != "instances":
            _write_chunks(client, distributed, plan, out, progress)
            return out
        maps = out.with_name(f"{out.name}.maps")
        if not maps.exists() or _kept_plan(maps) != plan.asked_for():
            shutil.rmtree(maps, ignore_errors=True)
            _write_chunks(client, distributed, plan, maps, progress)
        _number(zarr, plan, maps, out, progress)
    return out


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What every worker is told."""

    model: ClusterModel
    image: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    step: tuple[int, int]
    chunk: tuple[int, int]
    ends: Ends
    identity: str

    @classmethod
    def of(cls, model, image, kind, chunk, tile_size, batch_size, card) -> _Plan:
        name = os.fspath(model)
        given = ClusterModel(name, tile_size, batch_size)
        if "://" in name:
            if card is None:
                raise InputError(
                    "card: an endpoint does not tell how its model cuts images; give the "
                    "model_card.json of the export"
                )
            of_model = ModelCard.read(Path(card)).to_dict()
            given = dataclasses.replace(given, card=json.dumps(of_model))
        elif ModelSource.of(name).kind != "preset":
            given = dataclasses.replace(given, model=str(Path(name).resolve()))
        predictor = given.open()
        if kind == "auto":
            kind = "classes" if predictor.rule is None else "instances"
        if kind == "instances" and predictor.rule is None:
            raise InputError("kind: 'instances' needs a model that tells instances apart")
        path = str(Path(image).resolve())
        opened = open_plane(path)
        height, width = opened.shape[:2]
        ends = predictor.intensity_ends(opened)
        pixel = predictor.predict_window(opened, (0, 1, 0, 1), kind=_computed(kind), ends=ends)
        side = (_SIDE if kind == "classes" else _SIDE_OF_MAPS) if chunk is None else chunk
        if side < 1:
            raise InputError(f"chunk must be at least 1, found {side}")
        steps = predictor.geometry.core
        return cls(
            given,
            path,
            kind,
            (height, width, *pixel.shape[2:]),
            str(pixel.dtype),
            steps,
            (max(round(side / steps[0]), 1) * steps[0], max(round(side / steps[1]), 1) * steps[1]),
            ends,
            predictor.identity,
        )

    def windows(self) -> list[tuple[int, int, int, int]]:
        """The chunks, row by row."""
        (height, width), (rows, columns) = self.shape[:2], self.chunk
        return [
            (top, min(top + rows, height), left, min(left + columns, width))
            for top in range(0, height, rows)
            for left in range(0, width, columns)
        ]

    def asked_for(self) -> str:
        """What a call must ask for to go on with what another one began."""
        return json.dumps(
            {
                "image": [self.image, *stamp_of_image(Path(self.image))],
                "kind": self.kind,
                "shape": self.shape,
                "chunk": self.chunk,
                "model": self.identity,
            }
        )


def _computed(kind: str) -> str:
    return "classes" if kind == "classes" else "probabilities"


def open_plane(path: str) -> Any:
    """The image of a file, sliceable; a Zarr array without metadata of axes as it is.

    Raises:
        ValueError: the file cannot be read in windows, or holds several images.
    """
    import zarr

    with contextlib.suppress(Exception):  # whatever is no array is read as what it says it is
        return zarr.open_array(path, mode="r")
    return only_plane(Path(path))


def segment_chunk(plan: _Plan, window: tuple[int, int, int, int], out: str) -> None:
    """What a worker does: one chunk, from the image to the array that is written."""
    import zarr

    predictor = plan.model.open()
    found = predictor.predict_window(
        open_plane(plan.image), window, kind=_computed(plan.kind), ends=plan.ends
    )
    zarr.open_array(out, mode="r+")[window[0] : window[1], window[2] : window[3]] = found


@contextlib.contextmanager
def _cluster(distributed, scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """A client of the cluster that is there, or of one that lives as long as the context."""
    if scheduler is not None:
        with distributed.Client(scheduler) as client:
            yield client
        return
    threads = str(max((os.cpu_count() or 1) // (workers or 1), 1))
    shared = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, env=shared) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def _write_chunks(client, distributed, plan: _Plan, out: Path, progress: Progress) -> None:
    """Have all chunks of a new array, or those that an earlier call left, written by workers."""
    import zarr

    partial = out.with_name(f"{out.name}.partial")
    journal = LineJournal(out.with_name(f"{out.name}.journal"))
    asked, windows = plan.asked_for(), plan.windows()
    began, *done = journal.lines() or [""]
    if began != asked or not partial.exists():
        shutil.rmtree(partial, ignore_errors=True)
        done = []
        zarr.create_array(
            partial,
            shape=plan.shape,
            dtype=plan.dtype,
            chunks=(*plan.step, *plan.shape[2:]),
            shards=(*plan.chunk, *plan.shape[2:]),  # written by one worker at a time
            attributes={_ASKED: asked},
        )
    journal.begin([asked, *done])
    finished = set(map(int, done))
    waiting = iter([number for number in range(len(windows)) if number not in finished])
    with reporting(progress, len(windows), "segmenting") as report:
        report(len(finished), len(windows))
        told = client.scatter(plan, broadcast=True)
        under_way = distributed.as_completed()

        def submit(count: int) -> None:
            for number in itertools.islice(waiting, count):
                future = client.submit(
                    segment_chunk,
                    told,
                    windows[number],
                    str(partial.resolve()),
                    key=f"chunk-{number}-{secrets.token_hex(4)}",
                    retries=_RETRIES,
                    pure=False,
                )
                future.number = number
                under_way.add(future)

        try:
            submit(_AHEAD * max(sum(client.nthreads().values()), 1))
            for future in under_way:
                future.result()
                journal.append(str(future.number))
                finished.add(future.number)
                report(len(finished), len(windows))
                submit(1)
        finally:
            journal.close()
    partial.rename(out)
    journal.remove()


def _kept_plan(maps: Path) -> str:
    import zarr

    return str(zarr.open_array(maps, mode="r").attrs.get(_ASKED))


def _number(zarr, plan: _Plan, maps: Path, out: Path, progress: Progress) -> None:
    """Instances of the maps, by windows; then the maps go."""
    from keras_unet3p.postprocessing.stitching import instances_by_windows

    rule = plan.model.open().rule
    assert rule is not None
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    ids = zarr.create_array(partial, shape=plan.shape[:2], dtype="int32", chunks=(1024, 1024))
    with reporting(progress, 1, "numbering") as report:
        instances_by_windows(zarr.open_array(maps, mode="r"), ids, rule, progress=report)
    partial.rename(out)
    shutil.rmtree(maps)
