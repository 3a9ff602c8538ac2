"""What somebody sees who installed the package without its extras "serving" and "grpc"."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[2:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import keras_unet3p as ku
exec("ku." + sys.argv[1])
"""


@pytest.mark.parametrize(
    ("use", "missing", "extra"),
    [
        ("endpoint.LocalServer", "grpc_health", "serving"),
        ("endpoint.LocalServer", "tensorflow_serving", "serving"),
        ("endpoint.serve", "uvicorn", "serving"),
        ("client.Client('http://localhost:1')", "requests", "serving"),
        ("client.Client('grpc://localhost:1')", "grpc", "grpc"),
    ],
)
def test_the_error_names_package_and_extra(use, missing, extra):
    command = [sys.executable, "-c", CODE, use, missing]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    name = use.split("(")[0]
    assert f"keras_unet3p.{name} needs the package {missing!r}" in last
    assert f'pip install "keras_unet3p[{extra}]"' in last


def test_a_client_for_rest_needs_no_grpc():
    missing = ["grpc", "grpc_health", "starlette", "tensorflow_serving", "uvicorn", "google"]
    command = [sys.executable, "-c", CODE, "client.Client('http://localhost:1')", *missing]
    subprocess.run(command, check=True, timeout=60)
