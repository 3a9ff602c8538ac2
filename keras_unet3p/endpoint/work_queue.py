"""A bounded queue with a fixed number of worker threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from keras_unet3p.endpoint.endpoint_error import EndpointError


class WorkQueue:
    """Runs calls in `workers` threads and refuses more than `max_waiting` that wait.

    A caller first takes a place and then submits, so that a request is refused before its body
    has been read into memory; what is in memory is bounded by the number of places.

    Args:
        workers: number of threads.
        max_waiting: number of places beyond the running calls.
    """

    def __init__(self, workers: int, max_waiting: int):
        self._places = workers + max_waiting
        self._taken = 0
        self._changed = threading.Condition()
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"endpoint-worker-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def taken(self) -> int:
        """Number of places in use."""
        return self._taken

    def take_place(self) -> Place:
        """Returns a place to submit one call with.

        Raises:
            EndpointError: RESOURCE_EXHAUSTED when no place is free.
        """
        with self._changed:
            if self._taken >= self._places:
                raise EndpointError(
                    "RESOURCE_EXHAUSTED",
                    f"The server is busy: all its {self._places} places are taken; "
                    "try again later.",
                )
            self._taken += 1
        return Place(self)

    def _give_back(self) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            place, call, deadline, future = job
            try:
                if not future.set_running_or_notify_cancel():
                    continue
                if time.monotonic() < deadline:
                    result = call()
                else:
                    result = EndpointError(
                        "DEADLINE_EXCEEDED", "The deadline passed before the request could run."
                    )
                # Whoever sees the answer finds the place free.
                place.release()
                future.set_result(result)
            except BaseException as error:
                future.set_exception(error)
            finally:
                place.release()
                # The thread now waits for long, and must not keep the last request alive.
                del job, place, call, future
                result = None

    def wait_until_idle(self, timeout: float) -> bool:
        """Waits until no place is taken; returns whether that came true in `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._taken == 0, timeout)

    def close(self) -> None:
        """Stops the threads once what is submitted has run."""
        for _ in self._threads:
            self._jobs.put(None)


class Place:
    """A place in a `WorkQueue`; release it, or submit one call, which releases it at its end."""

    def __init__(self, work_queue: WorkQueue):
        self._queue: WorkQueue | None = work_queue

    def submit(self, call: Callable[[], Any], deadline: float) -> Future:
        """Queues `call`.

        Args:
            call: what to run; to return its errors, as the future is for results.
            deadline: in seconds of `time.monotonic()`; a call that has not begun by then is
                dropped, and the future's result is an EndpointError.
        """
        if self._queue is None:
            raise RuntimeError("This place has been released.")
        future: Future = Future()
        self._queue._jobs.put((self, call, deadline, future))
        return future

    def release(self) -> None:
        """Gives the place back; more than once does nothing."""
        work_queue, self._queue = self._queue, None
        if work_queue is not None:
            work_queue._give_back()
