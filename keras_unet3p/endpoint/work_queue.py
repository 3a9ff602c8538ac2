"""A bounded queue with a fixed number of worker threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from keras_unet3p.client.endpoint_error import EndpointError


class WorkQueue:
    """Runs calls in `workers` threads; at most `max_waiting` further calls may wait.

    Args:
        workers: number of threads.
        max_waiting: largest number of waiting calls.
    """

    def __init__(self, workers: int, max_waiting: int):
        self._places = workers + max_waiting
        self._changed = threading.Condition()
        self._waiting: dict[Future, tuple[Callable[[], Any], float]] = {}
        self._running = 0
        self._closed = False
        for number in range(workers):
            name = f"endpoint-worker-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    @property
    def taken(self) -> int:
        """Number of running and waiting calls."""
        return self._running + len(self._waiting)

    def submit(self, call: Callable[[], Any], deadline: float) -> Future:
        """Queues `call`.

        Args:
            call: function to run. It must return its errors and raise none; see `outcome`.
            deadline: in seconds of `time.monotonic()`. A call that has not begun by then is
                dropped, and the future's result is an EndpointError.

        Returns:
            A future that always gets a result. `withdraw` ends it early; `cancel` does nothing.

        Raises:
            EndpointError: RESOURCE_EXHAUSTED if no place is free.
        """
        future: Future = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            if self.taken >= self._places:
                raise EndpointError(
                    "RESOURCE_EXHAUSTED",
                    f"The server is busy: all its {self._places} places are taken; "
                    "try again later.",
                )
            self._waiting[future] = (call, deadline)
            self._changed.notify_all()
        return future

    def withdraw(self, future: Future, error: EndpointError) -> None:
        """Removes a waiting call and makes `error` its result; else does nothing."""
        with self._changed:
            waited = self._waiting.pop(future, None)
            self._changed.notify_all()
        if waited:
            future.set_result(error)

    def withdraw_all(self, error: EndpointError) -> None:
        """Removes every waiting call and makes `error` its result."""
        for future in list(self._waiting):
            self.withdraw(future, error)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                future = next(iter(self._waiting))
                call, deadline = self._waiting.pop(future)
                self._running += 1
            if time.monotonic() < deadline:
                result = call()
            else:
                result = EndpointError(
                    "DEADLINE_EXCEEDED", "The deadline passed before the request could run."
                )
            # The place is freed first: a client that has its answer can send the next request.
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
            future.set_result(result)
            # The thread may now wait long, and must not keep the last request in memory.
            del future, call, result

    def wait_until_idle(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds; returns whether no call runs or waits any more."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.taken, timeout)

    def close(self) -> None:
        """Stops the threads after the submitted calls have run."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
