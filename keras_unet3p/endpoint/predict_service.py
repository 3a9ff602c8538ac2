"""The state that REST and gRPC share: the models, the queue, the limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.byte_budget import ByteBudget
from keras_unet3p.endpoint.model_repository import ModelRepository
from keras_unet3p.endpoint.work_queue import WorkQueue


@dataclass
class PredictService:
    """The state of a running endpoint.

    Attributes:
        repository: the models.
        work: the queue that runs requests.
        held: counts the bytes of all request bodies in memory.
        max_request_bytes: size of the largest request body and the largest input tensor.
        max_json_values: largest number of numbers and lists in a JSON body.
        timeout: seconds that a request may take, waiting included.
        receive_timeout: seconds within which the body of a request must arrive.
        draining: whether the endpoint is shutting down and refuses new requests.
    """

    repository: ModelRepository
    work: WorkQueue
    held: ByteBudget
    max_request_bytes: int
    max_json_values: int
    timeout: float
    receive_timeout: float
    draining: bool = False

    def deadline(self, remaining: float | None = None) -> float:
        """Returns the deadline of a request that begins now, in `time.monotonic()` seconds."""
        seconds = self.timeout if remaining is None else min(remaining, self.timeout)
        return time.monotonic() + seconds

    def submit(self, call: Callable[[], Any], deadline: float) -> Future:
        """Queues a request.

        Args:
            call: function to run.
            deadline: in seconds of `time.monotonic()`.

        Returns:
            A future of the result of `call`, or of an EndpointError; see `outcome`.

        Raises:
            EndpointError: UNAVAILABLE while shutting down, RESOURCE_EXHAUSTED if the queue is full.
        """
        if self.draining:
            raise shutting_down()
        return self.work.submit(lambda: outcome(call), deadline)

    def drain(self, timeout: float) -> None:
        """Refuses new and waiting requests, and waits for the running ones.

        Args:
            timeout: longest wait in seconds.
        """
        self.draining = True
        self.work.withdraw_all(shutting_down())
        self.work.wait_until_idle(timeout)


def shutting_down() -> EndpointError:
    """Returns the error for requests that are refused because of the shutdown."""
    return EndpointError("UNAVAILABLE", "The server is shutting down; try again later.")


def outcome(call: Callable[[], Any]) -> Any:
    """Returns the result of `call`, or an EndpointError in place of what it raised.

    The error is returned, not raised, and it is a new one without a traceback. A traceback holds
    frames, which hold the future and the request; in a future this makes a reference cycle that
    keeps the request in memory until the garbage collector runs.
    """
    try:
        return call()
    except EndpointError as error:
        code, message, status = error.code, error.message, error.http_status
    except MemoryError:
        code, message, status = "RESOURCE_EXHAUSTED", "The request needs too much memory.", None
    except Exception as error:
        code, status = "INTERNAL", None
        message = f"Unexpected {type(error).__name__} while handling the request."
    return EndpointError(code, message, status)
