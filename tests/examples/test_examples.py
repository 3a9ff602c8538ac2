"""Every example runs, from an empty folder, and is short."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_example(script, tmp_path):
    source = script.read_text(encoding="utf-8")
    assert len(source.splitlines()) < 100
    if "tensorflow_addons" in source and not importlib.util.find_spec("tensorflow_addons"):
        pytest.skip("TensorFlow Addons is not installed: it imports with TensorFlow 2.15 only")
    result = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
