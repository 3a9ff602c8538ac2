"""A limit on the bytes of all requests in memory."""

from __future__ import annotations

import threading

from keras_unet3p.client.endpoint_error import EndpointError


class ByteBudget:
    """Counts the bytes of all requests in memory.

    Args:
        limit: the largest sum.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._lock = threading.Lock()
        self.used = 0

    def take(self, size: int) -> None:
        """Adds `size` bytes.

        Raises:
            EndpointError: RESOURCE_EXHAUSTED if the sum would exceed the limit.
        """
        with self._lock:
            if self.used + size > self._limit:
                raise EndpointError(
                    "RESOURCE_EXHAUSTED",
                    f"The server is busy: all requests in its memory may hold {self._limit} bytes; "
                    "try again later.",
                )
            self.used += size

    def give_back(self, size: int) -> None:
        """Subtracts `size` bytes."""
        with self._lock:
            self.used -= size
