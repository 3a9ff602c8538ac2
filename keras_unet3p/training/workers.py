"""Several processes that train in step, on one machine or on many."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_unet3p.artifacts import RunFolder
from keras_unet3p.config import read_tf_config
from keras_unet3p.errors import InputError, WorkerLostError
from keras_unet3p.files import printable
from keras_unet3p.training.folder_lock import run_lock

# What the operations between machines fail with when one of them is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
_SIGNS = ("collective", "coordination", "heartbeat", "connection reset", "connection refused")


class Workers:
    """The processes that train in step under a strategy; only this one without several machines.

    One of them, the chief, writes the run folder. All of them run the same program: whatever one
    of them does with the model, all do, because reading some weights needs all.

    Args:
        strategy: as `choose_strategy` gives it.

    Example:
        >>> workers = Workers(tf.distribute.get_strategy())
        >>> workers.are_several, workers.is_chief, workers.from_chief(2.5)
        (False, True, 2.5)
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.strategy: Any = strategy
        is_distributed = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        cluster = read_tf_config() if is_distributed else None
        self.are_several = cluster is not None and len(cluster.addresses) > 1
        self.is_chief = cluster is None or cluster.is_chief

    def from_chief(self, value: float) -> float:
        """The chief's value, on all of them. Each waits here for all others."""
        if not self.are_several:
            return value
        with self.strategy.scope():
            values = self.strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(
                    value if context.replica_id_in_sync_group == 0 else 0.0, tf.float64
                )
            )
            return float(self.strategy.reduce("SUM", values, axis=None))

    def meet(self) -> None:
        """Wait for all others."""
        self.from_chief(0.0)

    def agree(self, value: int, what: str) -> None:
        """See that the chief and this process have the same value.

        Raises:
            ValueError: they have not. The other processes then lose this one.
        """
        theirs = int(self.from_chief(value))
        if theirs != value:
            raise InputError(f"{what}: {value} on this machine, {theirs} on the chief's")

    def clock(self, clock: Callable[[], float]) -> Callable[[], float]:
        """The chief's clock: what depends on the time is then the same on all of them."""
        return (lambda: self.from_chief(clock())) if self.are_several else clock

    def distribute(
        self, make: Callable[[tf.distribute.InputContext], tf.data.Dataset]
    ) -> tf.distribute.DistributedDataset:
        """The batches of all, each process making its own: `make` knows by the context which."""
        return self.strategy.distribute_datasets_from_function(make)

    @contextlib.contextmanager
    def noticing_losses(self) -> Iterator[None]:
        """Context that says so if training fails because another process is gone.

        Raises:
            WorkerLostError: another process has ended or cannot be reached.
        """
        try:
            yield
        except _LOST as error:
            text = str(error)
            if not self.are_several or not any(sign in text.lower() for sign in _SIGNS):
                raise
            lines = [line for line in text.splitlines() if any(s in line.lower() for s in _SIGNS)]
            raise WorkerLostError(
                "another process of this training has ended or cannot be reached, so this one ends "
                f"too ({printable(lines[0].strip()[:200])}). Its own output tells why. The same "
                "command on all machines continues the run"
            ) from error

    @contextlib.contextmanager
    def folder(self, folder: str | os.PathLike[str]) -> Iterator[Path]:
        """Context with the folder that this process writes its run into.

        For the chief it is the run folder, which it holds the lock of. For the others it is a
        temporary folder with a copy of the run's files, so that they continue from the same
        weights; it is removed at the end.

        Raises:
            ValueError: on entering, if another process trains in the folder.
        """
        run = RunFolder(folder)
        if self.is_chief:
            with run_lock(run.path):
                self.meet()  # from here on the others copy
                self.meet()  # until here
                yield run.path
                self.meet()
            return
        self.meet()
        with tempfile.TemporaryDirectory(prefix="unet3p-worker-") as name:
            copy = RunFolder(Path(name))
            saved = [path for _, path in run.saved()]
            for path in (run.config, run.history, run.best, *saved):
                if path.is_file():
                    shutil.copyfile(path, copy.path / path.name)
            self.meet()
            yield copy.path
            self.meet()  # who leaves earlier is taken for dead
