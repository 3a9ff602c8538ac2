"""Published sets of images: in `shared/data` beside the project, or where UNET3P_DATA says."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from keras_unet3p import data, images

BESIDE = Path(__file__).parents[3] / "shared" / "data"
ROOT = Path(os.environ.get("UNET3P_DATA", BESIDE))
SETS = {
    "isbi2012": ("binary", (512, 512)),
    "ctc_dic_hela/gold": ("instances", (512, 512)),
    "ctc_dic_hela/silver": ("instances", (512, 512)),
    "dsb2018_fluo": ("instances", None),
}


@pytest.mark.parametrize("name", SETS)
def test_a_published_set_opens_as_what_it_is(name):
    if not (ROOT / name).is_dir():
        pytest.skip(f"there is no {name} beside the project, nor where UNET3P_DATA says")
    kind, shape = SETS[name]
    folder = data.open_images(ROOT / name / "images", ROOT / name / "labels")
    assert (folder.mask_kind, folder.num_classes, folder.num_channels) == (kind, 1, 1)
    assert shape is None or set(folder.shapes) == {shape}
    assert data.find_suspicions(folder) == []
    normalization = folder.normalization()
    assert normalization.value_scale == "dtype"
    assert 0 < normalization.mean[0] < 1
    part = folder[:4]
    scored = sum(
        float(np.sum(weight))
        for _, _, weight in data.validation_pipeline(part, patch_size=192, batch_size=8)
    )
    assert scored == sum(height * width for height, width in part.shapes)
    ((image, mask, weight),) = data.training_pipeline(
        part, patch_size=128, batch_size=8, steps=1, seed=0, border_weights={}
    )
    assert np.isfinite(image).all()
    assert set(np.unique(mask)) == {0, 1}
    assert np.isfinite(weight).all()
    assert np.min(weight) > 0


@pytest.mark.parametrize("name", SETS)
def test_held_out_images_of_a_set_raise_no_alarm(name):
    if not (ROOT / name).is_dir():
        pytest.skip(f"there is no {name} beside the project, nor where UNET3P_DATA says")
    files = sorted((ROOT / name / "images").glob("*.png"))[:96]
    values = [images.ImageFile(file, value_scale="dtype").values(0) for file in files]
    normalization = images.Normalization((0.0,), (1.0,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in range(4):
            first, end = block * len(files) // 4, (block + 1) * len(files) // 4
            rest = images.StoredValues.of(values[:first] + values[end:])
            trained = dataclasses.replace(normalization, stored_values=rest)
            images.check_values(values[first:end], trained)
            for single in values[first:end]:
                images.check_values([single], trained)


def test_another_kind_of_image_is_a_drift_and_a_held_out_one_is_none():
    sets = [ROOT / name for name in ("dsb2018_fluo", "isbi2012")]
    if not all(folder.is_dir() for folder in sets):
        pytest.skip("the sets are not beside the project, nor where UNET3P_DATA says")
    nuclei, membranes = (
        data.open_images(
            *(sorted((at / kind).glob("*.png"))[:160] for kind in ("images", "labels"))
        )
        for at in sets
    )
    known = nuclei[:80]
    monitor = images.DriftMonitor(known.stored_values, known.mask_spans, value_scale="dtype")

    def told(opened):
        numbered = opened.mask_kind == "instances"
        pairs = map(opened.stored, range(len(opened)))
        found = [monitor.see(image, mask, instances=numbered) for image, mask in pairs]
        return [drift.quantity for drifts in found for drift in drifts]

    assert told(nuclei[80:]) == []
    assert {"medians", "share of foreground"} <= set(told(membranes))
