"""What others install: the archives hold all files, metadata are right, and types are seen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import keras_unet3p

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_unet3p"


def _run(*command, **options):
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The wheel and the source archive, built from a copy of the files."""
    if find_spec("build") is None or find_spec("twine") is None:
        pytest.skip("build and twine make and check the archives")
    copy = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(PACKAGE, copy / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    _run(sys.executable, "-m", "build", "--outdir", copy / "dist", copy)
    return sorted((copy / "dist").iterdir())


def test_the_wheel_holds_every_file_of_the_package(archives):
    (wheel,) = (path for path in archives if path.suffix == ".whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name}
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == expected


def test_the_archives_pass_the_index_s_checks(archives):
    assert len(archives) == 2
    assert "FAILED" not in _run(sys.executable, "-m", "twine", "check", "--strict", *archives)


def test_the_source_archive_builds_again(archives):
    (source,) = (path for path in archives if path.name.endswith(".tar.gz"))
    with tarfile.open(source) as archive:
        names = archive.getnames()
    top = f"keras_unet3p-{keras_unet3p.__version__}"
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "keras_unet3p/py.typed"):
        assert f"{top}/{name}" in names


_CONSUMER = """
from pathlib import Path

import keras_unet3p as ku

model = ku.models.unet((None, None, 1), filters=4)
report = ku.workflow.evaluate("run", "images", "masks")
reveal_type(report.overall)
written = ku.workflow.predict("run", Path("images"), out="out")
reveal_type(written)
rule = ku.postprocessing.InstanceRule(threshold=0.4)
reveal_type(rule.seed_threshold)
ku.postprocessing.InstanceRule(treshold=0.4)
"""


def test_types_are_seen_by_those_who_use_the_package(tmp_path):
    if shutil.which("pyright") is None and find_spec("pyright") is None:
        pytest.skip("pyright checks the types")
    (tmp_path / "consumer.py").write_text(_CONSUMER)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable),
            str(tmp_path / "consumer.py"),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    found = json.loads(ran.stdout)["generalDiagnostics"]
    revealed = [item["message"] for item in found if item["severity"] == "information"]
    assert [message.split(" is ")[1] for message in revealed] == [
        '"dict[str, float | None]"',
        '"list[Path]"',
        '"float"',
    ]
    errors = [item["message"] for item in found if item["severity"] == "error"]
    assert len(errors) == 1, errors
    assert 'No parameter named "treshold"' in errors[0]


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    assert citation["version"] == keras_unet3p.__version__
    assert citation["license"] == metadata["metadata"]["license"]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_every_python_finds_wheels_of_all_that_is_needed(python, tmp_path):
    assert "tensorflow==" in _resolved(tmp_path, python, "serving,formats,annotations")


def test_addons_needs_a_python_that_tensorflow_2_15_has(tmp_path):
    assert "tensorflow-addons==0.23" in _resolved(tmp_path, "3.11", "addons,serving")
    with pytest.raises(
        AssertionError, match=r"tensorflow.* has no wheels with a matching\s+Python"
    ):
        _resolved(tmp_path, "3.12", "addons")
    assert "Python 3.10 or 3.11" in (ROOT / "README.md").read_text()


def _resolved(folder: Path, python: str, extras: str) -> str:
    """The versions that a resolver takes, of wheels alone, for another Python."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv resolves for other versions of Python")
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    names = [("options", "install_requires")]
    names += [("options.extras_require", extra) for extra in extras.split(",")]
    needs = folder / "needs.in"
    needs.write_text("\n".join(setup.get(*name) for name in names))
    options = ["--python-version", python, "--only-binary", ":all:", "--no-header", "--quiet"]
    return _run(uv, "pip", "compile", *options, needs, timeout=300)
