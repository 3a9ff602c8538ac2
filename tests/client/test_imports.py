"""What the client asks of the machine that it runs on."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib, sys
before = set(sys.modules)
import keras_unet3p.client
keras_unet3p.client.Client, keras_unet3p.client.EndpointError
for name in sys.argv[1:]:
    importlib.import_module("keras_unet3p." + name)
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - set(sys.stdlib_module_names)))
"""
CLIENT = {"cv2", "keras_unet3p", "numpy"}
REST = {"certifi", "charset_normalizer", "idna", "requests", "urllib3"}
GRPC = {"google", "grpc", "typing_extensions"}
LARGE_IMAGES = {"filelock"}
# What these packages import where it happens to be installed.
IF_THERE = {
    "backports",
    "brotli",
    "chardet",
    "cython_runtime",
    "grpc_health",
    "simplejson",
    "socks",
}


def loaded(*modules: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *modules], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    # A leading underscore: a package's own compiled part, or how an editable package is found.
    return {name for name in done.stdout.split() if not name.startswith("_")} - IF_THERE


def test_the_client_itself_needs_numpy_and_opencv():
    assert loaded() == CLIENT


def test_each_transport_brings_its_own_packages_only():
    """No TensorFlow, no SciPy, no scikit-image."""
    assert loaded("client.rest_transport") == CLIENT | REST
    assert loaded("client.grpc_transport") == CLIENT | GRPC


def test_large_images_need_a_lock_file_besides():
    found = loaded("client.concurrent_tiles", "tiling.streaming_predictor")
    assert found == CLIENT | LARGE_IMAGES
