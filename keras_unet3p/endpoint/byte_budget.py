"""How many bytes of requests may be in memory at the same time."""

from __future__ import annotations

import threading

from keras_unet3p.client.endpoint_error import EndpointError


class ByteBudget:
    """Counts the bytes that all requests together hold.

    Args:
        limit: how many they may hold.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._lock = threading.Lock()
        self.used = 0

    def take(self, size: int) -> None:
        """Counts `size` bytes in.

        Raises:
            EndpointError: RESOURCE_EXHAUSTED when they would exceed the limit.
        """
        with self._lock:
            if self.used + size > self._limit:
                raise EndpointError(
                    "RESOURCE_EXHAUSTED",
                    f"The server is busy: the requests in its memory may hold {self._limit} bytes "
                    "in all; try again later.",
                )
            self.used += size

    def give_back(self, size: int) -> None:
        """Counts `size` bytes out."""
        with self._lock:
            self.used -= size
