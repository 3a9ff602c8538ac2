"""From a run to a package of the BioImage Model Zoo."""

from __future__ import annotations

import json
import zipfile
from importlib.util import find_spec

import pytest

from keras_unet3p import workflow


@pytest.mark.skipif(find_spec("bioimageio") is None, reason="bioimageio.core is not installed")
def test_a_package_tells_what_the_run_measured(run, tmp_path):
    path = workflow.export_bioimageio(
        run, tmp_path / "small.zip", authors=["A. Person"], license="CC-BY-4.0", tile_size=64
    )
    with zipfile.ZipFile(path) as archive:
        readme = archive.read("README.md").decode()
        card = json.loads(archive.read("model_card.json"))
        text = archive.read("rdf.yaml").decode()
    measured = json.loads((run / "validation" / "metrics.json").read_text())
    name, value = next(iter(measured["overall"].items()))
    assert f"| {name} | {value:.4f} |" in readme.split("## Validation")[1]
    assert "Images: 6." in readme.split("## Training data")[1]
    assert card["training"]["mask_kind"] == "instances"
    assert "small segmentation (unet3plus)" in text
    assert "10.1109/ICASSP40776.2020.9053405" in text
