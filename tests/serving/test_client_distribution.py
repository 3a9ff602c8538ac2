"""The client's own distribution: built from the tree, and used where there is no TensorFlow."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from snippets import snippets_of

import keras_unet3p
from keras_unet3p import export, models
from keras_unet3p.client import Client
from keras_unet3p.images import pictures
from keras_unet3p.postprocessing import InstanceRule

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "serving/client"
NOT_THERE = ("keras", "keras_unet3p", "pydantic", "scipy", "skimage", "tensorflow", "typer")


def text_of_project() -> dict:
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]


def held_modules() -> set[str]:
    """What the build takes. Read and not imported, which would bring setuptools into the tests."""
    text = (FOLDER / "build_from_package.py").read_text("utf-8")
    (value,) = (
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES"
    )
    return set(ast.literal_eval(value))


def file_of(module: str) -> str:
    """Of "keras_unet3p.a.b", under the package."""
    path = module.replace(".", "/").removeprefix("keras_unet3p/")
    is_room = (ROOT / "keras_unet3p" / path).is_dir()
    return f"{path}/__init__.py" if is_room else f"{path}.py"


def test_what_its_modules_import_of_the_package_is_in_it():
    held = held_modules()
    missing = set()
    for name in sorted(held):
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse((ROOT / "keras_unet3p" / name).read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_unet3p"):
                if file_of(node.module) not in held:
                    missing.add((name, file_of(node.module)))
            elif isinstance(node, ast.Import):
                assert not [x for x in node.names if x.name.startswith("keras_unet3p")], name
    # For models that are files; a client is none. And for images of the formats of the field.
    assert missing == {
        ("tiling/streaming_predictor.py", "images/file_source.py"),
        ("tiling/runners.py", "artifacts/__init__.py"),
        ("tiling/runners.py", "tiling/keras_file.py"),
        ("tiling/runners.py", "tiling/keras_runner.py"),
        ("tiling/runners.py", "tiling/saved_model_runner.py"),
    }


def test_its_packages_are_the_package_s():
    project = text_of_project()
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    extras = {name: text.split() for name, text in metadata["options.extras_require"].items()}
    always = metadata["options"]["install_requires"].split()
    assert set(project["dependencies"]) <= {*always, *extras["serving"]}
    assert project["optional-dependencies"] == {"grpc": extras["grpc"], "instances": ["scipy"]}
    assert "scipy" in always
    assert project["requires-python"] == metadata["options"]["python_requires"]


class Machine:
    """A virtual environment on its own: neither this one's packages nor the tree can be imported.

    Args:
        folder: where it is made.
    """

    def __init__(self, folder: Path):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        (self.python,) = (
            path for path in folder.glob("*/python*") if path.name in ("python", "python.exe")
        )
        (self.packages,) = folder.glob("**/site-packages")
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def install(self, *what: str | Path) -> str:
        """What pip says against it; "" once it is done."""
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--python", self.python, "install"),
                *("--quiet", "--disable-pip-version-check", "--no-compile", *what),
            ],
            capture_output=True,
            text=True,
            env=self._environment,
        )
        return ran.stderr if ran.returncode else ""

    def names(self) -> set[str]:
        """The packages that can be imported."""
        return {path.name.partition(".")[0] for path in self.packages.iterdir()}

    def run(self, code: str, *arguments: object) -> str:
        ran = subprocess.run(
            [self.python, "-I", "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=self._environment,
            cwd=self.packages.parent,
            timeout=120,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        return ran.stdout

    def size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in self.packages.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    """With the client for REST, from a wheel that was built of the source distribution."""
    if find_spec("build") is None or find_spec("pip") is None:
        pytest.skip("build and pip make and install the distribution")
    machine = Machine(tmp_path_factory.mktemp("machine"))
    failed = machine.install(*text_of_project()["dependencies"])
    if failed:
        pytest.skip(f"no index of packages can be reached: {failed.splitlines()[-1]}")
    dist = tmp_path_factory.mktemp("dist")
    ran = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", dist, FOLDER], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    machine.wheel = next(dist.glob("*.whl"))
    # Its packages are there; another one that it asked for could not be found.
    failed = machine.install("--no-index", machine.wheel)
    assert not failed, failed
    return machine


@pytest.fixture(scope="module")
def with_grpc(machine) -> Machine:
    """The same machine, with gRPC from here on."""
    failed = machine.install(f"{machine.wheel}[grpc]")
    assert not failed, failed
    return machine


IMPORT_ALL = """
import importlib, pkgutil, sys
import unet3p_client
skipped = sys.argv[1:]
for module in pkgutil.walk_packages(unet3p_client.__path__, "unet3p_client."):
    if module.name not in skipped:
        importlib.import_module(module.name)
print(unet3p_client.__version__, *unet3p_client.__all__)
"""
NEED_EXTRAS = {
    "unet3p_client.client.grpc_transport",
    "unet3p_client.client.messages",
    "unet3p_client.postprocessing.stitching",
}


def test_it_needs_neither_tensorflow_nor_much_room(machine):
    assert not machine.names() & {*NOT_THERE, "grpc", "google"}
    assert "unet3p_client" in machine.names()
    version, *names = machine.run(IMPORT_ALL, *NEED_EXTRAS).split()
    assert version == keras_unet3p.__version__
    assert "Client" in names
    assert machine.size() < 400e6


REFUSED = """
import numpy as np
from unet3p_client import Client, InstanceRule
try:
    exec(__import__("sys").argv[1])
except ModuleNotFoundError as error:
    print(error)
"""


def test_what_is_missing_is_named_with_the_extra_of_this_distribution(machine):
    told = machine.run(REFUSED, "Client('grpc://localhost:1')")
    assert "unet3p_client.client.Client needs the package" in told
    assert 'pip install "unet3p_client[grpc]"' in told
    assert "keras_unet3p" not in told


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The local endpoint on a tiny export that tells instances apart."""
    for package in ("uvicorn", "grpc"):
        pytest.importorskip(package)
    from keras_unet3p.endpoint import LocalServer

    folder = tmp_path_factory.mktemp("models") / "cells"
    network = models.unet(
        (None, None, 1), num_classes=2, filters=2, depth=2, classifier_activation="sigmoid"
    )
    export.export_savedmodel(network, folder, tile_size=32, instances=InstanceRule())
    with LocalServer({"cells": folder}, port=0, grpc_port=0) as server:
        yield server


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.png"
    pictures.write_picture(path, np.random.default_rng(0).integers(0, 256, (50, 70), np.uint8))
    return path


ASK = """
import sys
import numpy as np
from unet3p_client import Client

url, image, out = sys.argv[1:]
with Client(url, "cells") as client:
    np.savez(
        out,
        classes=client.predict(image),
        instances=client.predict_instances(image),
        probabilities=client.probabilities(image),
        large=client.predict_large(
            np.arange(5000, dtype=np.uint16).reshape(50, 100),
            stride=4,
            kind="probabilities",
            progress=True,
        ),
    )
"""


def check_answers(machine: Machine, url: str, image: Path, out: Path) -> None:
    machine.run(ASK, url, image, out)
    with Client(url, "cells") as client, np.load(out) as found:
        ramp = np.arange(5000, dtype=np.uint16).reshape(50, 100)
        expected = {
            "classes": client.predict(image),
            "instances": client.predict_instances(image),
            "probabilities": client.probabilities(image),
            "large": client.predict_large(ramp, stride=4, kind="probabilities"),
        }
        assert set(found) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, name, strict=True)


def test_its_answers_over_rest(machine, server, image, tmp_path):
    check_answers(machine, server.url, image, tmp_path / "found.npz")


def test_instances_of_large_images_need_an_extra(machine, server):
    large = "np.zeros((40, 40), np.uint8), stride=4, kind='instances', rule=InstanceRule()"
    told = machine.run(REFUSED, f"Client({server.url!r}, 'cells').predict_large({large})")
    assert 'pip install "unet3p_client[instances]"' in told


def test_its_answers_over_grpc(with_grpc, server, image, tmp_path):
    assert not with_grpc.names() & {*NOT_THERE, "tensorflow_serving"}
    check_answers(with_grpc, f"grpc://{server.grpc_address}", image, tmp_path / "found.npz")
    with_grpc.run(IMPORT_ALL, *(NEED_EXTRAS - {"unet3p_client.client.grpc_transport"}))
    assert with_grpc.size() < 450e6


def test_the_snippet_of_its_page(machine, server, image):
    found = snippets_of((FOLDER / "README.md").read_text("utf-8"))
    (snippet,) = (snippet for snippet in found if snippet.language == "python")
    code = snippet.code.replace("http://localhost:8501", server.url)
    shape = json.loads(
        machine.run(f"import os; os.chdir({str(image.parent)!r})\n{code}\nprint(list(mask.shape))")
    )
    assert shape == [50, 70]


def test_a_change_of_the_names_leaves_none_behind(machine):
    text = "".join(
        path.read_text("utf-8") for path in machine.packages.glob("unet3p_client/**/*.py")
    )
    assert re.findall(r"(?:from|import) keras_unet3p\b", text) == []
