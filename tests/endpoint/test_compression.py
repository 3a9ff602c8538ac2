"""The limits on compressed bodies."""

from __future__ import annotations

import gzip
import types

import pytest

from keras_unet3p.client.endpoint_error import EndpointError
from keras_unet3p.endpoint.byte_budget import ByteBudget
from keras_unet3p.endpoint.compression import unzipped


def service(request: int, held: int = 2**40):
    return types.SimpleNamespace(held=ByteBudget(held), max_request_bytes=request)


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_a_body_counts_while_it_is_used(size):
    plain = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    limits = service(request=size)
    with unzipped(gzip.compress(plain), limits) as found:
        assert found == plain
        assert limits.held.used == size
    assert limits.held.used == 0


@pytest.mark.parametrize("break_it", [lambda z: z[:-1], lambda z: z + b"x", lambda z: z[1:]])
def test_what_is_not_gzip_is_an_empty_body(break_it):
    limits = service(request=2**30)
    with unzipped(break_it(gzip.compress(b"12345")), limits) as found:
        assert found == b""
    assert limits.held.used == 0


def test_a_bomb_is_not_decompressed_to_its_end():
    body = gzip.compress(b"\0" * 2**24)
    limits = service(request=2**21)
    with (
        pytest.raises(EndpointError, match="larger than 2097152 bytes") as caught,
        unzipped(body, limits),
    ):
        pass
    assert caught.value.http_status == 413
    assert limits.held.used == 0
    limits = service(request=2**30, held=2**21)
    with (
        pytest.raises(EndpointError, match="may hold 2097152 bytes") as caught,
        unzipped(body, limits),
    ):
        pass
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert limits.held.used == 0
