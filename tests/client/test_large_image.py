"""Client-side tiling over the raw-tile signature."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from keras_unet3p.client import Client, EndpointError
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.tiling import TileGeometry

GEOMETRY = TileGeometry((32, 32), halo=8, stride=8)


@pytest.fixture(params=["http", "grpc"])
def client(request, server):
    url = server.url if request.param == "http" else f"grpc://{server.grpc_address}"
    with Client(url, "cells", backoff=0.01, retries=50) as client:
        yield client


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (75, 133), np.uint8)


def test_the_tiles_make_up_the_image(client, image):
    for options in ({"geometry": GEOMETRY}, {"halo": 4, "stride": 4}, {"stride": 8}):
        mask = client.predict_large(image, concurrency=3, tiles_per_request=2, **options)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, image >= 128)
    found = client.predict_large(image, geometry=GEOMETRY, kind="probabilities")
    np.testing.assert_array_equal(found[..., 0], (image >= 128).astype(np.float32))


def test_an_unpadded_network(tmp_path, image, write_model):
    write_model(tmp_path / "cells" / "1", tile_size=36, margin=6)
    with LocalServer({"cells": tmp_path / "cells"}) as server, Client(server.url) as client:
        np.testing.assert_array_equal(client.predict_large(image, stride=2), image >= 128)


def test_a_busy_server_is_asked_again(model_folder, image):
    with LocalServer({"cells": model_folder}, workers=1, max_waiting=0) as server:
        url = f"grpc://{server.grpc_address}"
        with Client(url, "cells", backoff=0.01, retries=100) as client:
            mask = client.predict_large(image, geometry=GEOMETRY, concurrency=8)
    np.testing.assert_array_equal(mask, image >= 128)


def test_it_goes_on_where_it_stopped(model_folder, image, tmp_path):
    np.save(tmp_path / "image.npy", image)
    arguments = (tmp_path / "image.npy", tmp_path / "mask.npy")
    first, second = [], []
    with LocalServer({"cells": model_folder}) as server:
        client = Client(server.url, "cells", retries=0)

        def stop_after(done: int, total: int) -> None:
            first.append((done, total))
            if done >= total // 2:
                server.close()

        with client, pytest.raises(EndpointError):
            client.predict_large(
                *arguments,
                geometry=GEOMETRY,
                concurrency=2,
                seconds_between_records=0,
                progress=stop_after,
            )
    assert not (tmp_path / "mask.npy").exists()
    with LocalServer({"cells": model_folder}) as server, Client(server.url) as client:
        mask = client.predict_large(
            *arguments,
            geometry=GEOMETRY,
            concurrency=2,
            progress=lambda done, total: second.append((done, total)),
        )
    np.testing.assert_array_equal(mask, image >= 128)
    assert second[0][0] >= first[-1][0] - 2 > 0
    assert second[-1][0] == second[-1][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.npy", "mask.npy"]


def test_all_tiles_go_to_one_version(model_versions, tmp_path, image):
    base = tmp_path / "cells"
    base.mkdir()
    (base / "1").symlink_to(model_versions[0])
    with LocalServer({"cells": base}, poll_seconds=0.05, num_versions=2) as server:
        added = threading.Event()

        def add_version(done: int, total: int) -> None:
            if done >= total // 3 and not added.is_set():
                added.set()
                (base / "2").symlink_to(model_versions[1])
                while client.status()[0]["version"] != 2 or (
                    client.status()[0]["state"] != "AVAILABLE"
                ):
                    pass

        with Client(server.url, "cells") as client:
            mask = client.predict_large(
                image, geometry=GEOMETRY, concurrency=2, progress=add_version
            )
            assert added.is_set()
            assert client.metadata()["version"] == 2
    np.testing.assert_array_equal(mask, image >= 128)


def test_wrong_arguments(client, image):
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        client.predict_large(image, geometry=GEOMETRY, concurrency=0)
    with pytest.raises(ValueError, match="keeps no pixel"):
        client.predict_large(image, halo=15, stride=32)


def test_it_imports_no_tensorflow(server):
    code = """
import sys
import numpy as np
from keras_unet3p.client import Client
with Client(sys.argv[1], "cells") as client:
    assert client.predict_large(np.full((50, 60), 200, np.uint8), stride=4).all()
found = sorted(name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras"))
assert not found, found
"""
    subprocess.run(
        [sys.executable, "-c", code, f"grpc://{server.grpc_address}"], check=True, timeout=60
    )
