"""A small SavedModel with the exported models' signatures, and servers for it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def write_threshold_model(folder, *, threshold: int = 128, tile_size: int = 32, margin: int = 0):
    """Writes a SavedModel that marks the pixels at or above `threshold` (of 255).

    The signature "tile" takes `margin` pixels off each side, as an unpadded network does. Besides
    the four signatures of an exported model there are "pair" (two inputs, two outputs), "special"
    (NaN and infinities), and "spin", which keeps a processor busy for some seconds.
    """
    import tensorflow as tf

    limit = threshold / 255.0

    def decode(encoded):
        image = tf.io.decode_image(encoded, channels=1, expand_animations=False)
        return tf.ensure_shape(image, [None, None, 1])

    def one_mask(encoded):
        return tf.io.encode_png(tf.cast(decode(encoded) >= threshold, tf.uint8))

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(image_bytes):
        return {"mask_bytes": tf.map_fn(one_mask, image_bytes, fn_output_signature=tf.string)}

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.uint8, name="image")])
    def classes(image):
        return {"class_ids": tf.cast(image[..., 0] >= threshold, tf.uint8)}

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.uint8, name="image")])
    def probabilities(image):
        return {"probabilities": tf.cast(image, tf.float32) / 255.0}

    shape = [None, tile_size, tile_size, 1]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="tile")])
    def tile(tile):
        kept = tile[:, margin : tile_size - margin, margin : tile_size - margin]
        size = tile_size - 2 * margin
        return {
            "probabilities": tf.ensure_shape(
                tf.cast(kept >= limit, tf.float32), [None, size, size, 1]
            )
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int32, name="b"),
        ]
    )
    def pair(a, b):
        return {"sum": a + tf.cast(b, tf.float32), "text": tf.as_string(b)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="a")])
    def special(a):
        return {"value": a / 0.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float64, name="seconds")])
    def spin(seconds):
        end = tf.timestamp() + tf.reduce_sum(seconds)
        turns = tf.while_loop(
            lambda turn: tf.timestamp() < end,
            lambda turn: turn + tf.cast(tf.reduce_sum(tf.zeros([64, 64])), tf.int32) + 1,
            [tf.constant(0)],
        )[0]
        return {"turns": turns + tf.zeros_like(seconds, tf.int32)}

    functions = {
        function.python_function.__name__: function
        for function in (serving_default, classes, probabilities, tile, pair, special, spin)
    }
    for name, function in functions.items():
        setattr(module, name, function)
    tf.saved_model.save(module, str(folder), signatures=functions)


@pytest.fixture(scope="session")
def write_model():
    """The function that writes the model."""
    return write_threshold_model


@pytest.fixture(scope="session")
def model_versions(tmp_path_factory):
    """Two version folders of the same model, with thresholds 128 and 64."""
    base = tmp_path_factory.mktemp("versions")
    write_threshold_model(base / "first", threshold=128)
    write_threshold_model(base / "second", threshold=64)
    return base / "first", base / "second"


@pytest.fixture(scope="session")
def model_folder(model_versions, tmp_path_factory):
    """A base folder with the first version as 1."""
    base = tmp_path_factory.mktemp("models") / "cells"
    base.mkdir()
    (base / "1").symlink_to(model_versions[0])
    return base


@pytest.fixture(scope="module")
def server(model_folder):
    """A running local endpoint with the model "cells"."""
    from keras_unet3p.endpoint import LocalServer

    with LocalServer({"cells": model_folder}) as running:
        yield running


@contextlib.contextmanager
def tensorflow_serving(name: str, *arguments: str):
    """The program that `TF_SERVING_BINARY` names, started; its REST URL and its gRPC address.

    It is ready when it serves the model `name`. Without the variable the test is skipped.
    """
    import requests

    binary = os.environ.get("TF_SERVING_BINARY")
    if not binary:
        pytest.skip("TF_SERVING_BINARY is not set: no tensorflow_model_server to start")
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    flags = [f"--rest_api_port={ports[0]}", f"--port={ports[1]}", *arguments]
    process = subprocess.Popen([binary, *flags])
    try:
        url = f"http://127.0.0.1:{ports[0]}"
        for _ in range(300):
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{url}/v1/models/{name}/metadata", timeout=10).status_code == 200:
                    break
            time.sleep(0.2)
        yield url, f"127.0.0.1:{ports[1]}"
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    import sys

    # For a TensorFlow Serving to test the client against; see client/test_client.py.
    write_threshold_model(sys.argv[1])
