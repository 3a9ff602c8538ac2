"""Bodies of requests that are compressed with gzip."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.predict_service import PredictService

# TensorFlow Serving's own limit (util/net_http/compression/gzip_zlib.h).
_MOST_UNZIPPED = 100 * 2**20
_PIECE = 2**20
_GZIP = 16 + zlib.MAX_WBITS


@contextlib.contextmanager
def unzipped(body: bytes | bytearray, service: PredictService) -> Iterator[bytearray]:
    """Context with a decompressed body, which counts towards the byte budget inside of it.

    As in TensorFlow Serving the body is empty if it is not gzip, ends early, or decompresses to
    more than 100 MiB.

    Args:
        body: the compressed bytes.
        service: the state of the endpoint, for its limits.

    Raises:
        EndpointError: INVALID_ARGUMENT (413) if the decompressed body is larger than a body may
            be, RESOURCE_EXHAUSTED if all bodies together are.
    """
    plain, unzip = bytearray(), zlib.decompressobj(_GZIP)
    rest: bytes | bytearray = body
    taken = 0
    try:
        while not unzip.eof and len(plain) <= _MOST_UNZIPPED:
            try:
                piece = unzip.decompress(rest, _PIECE)
            except zlib.error:
                break
            rest = unzip.unconsumed_tail
            if not piece and not rest:
                break
            service.held.take(len(piece))
            taken += len(piece)
            plain += piece
            if len(plain) > service.max_request_bytes:
                raise EndpointError(
                    "INVALID_ARGUMENT",
                    f"The request body is larger than {service.max_request_bytes} bytes.",
                    413,
                )
        whole = unzip.eof and not unzip.unused_data and len(plain) <= _MOST_UNZIPPED
        yield plain if whole else bytearray()
    finally:
        service.held.give_back(taken)
