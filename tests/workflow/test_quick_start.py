"""The quick start, shortened."""

import cv2
import pytest

from keras_unet3p import workflow


def test_everything_is_made_and_the_network_has_learnt(tmp_path, quiet):
    options = {"images": 12, "epochs": 3, "steps_per_epoch": 30, "filters": 6, "patch_size": 96}
    options["init"] = None  # of another width than the preset
    result = workflow.quickstart(tmp_path, large_size=(301, 403), console=quiet, **options)
    # Seconds of training; everything foreground would score 0.45.
    assert result.dice > 0.55
    assert result.large_dice > 0.55
    assert 0 < result.average_precision <= 1
    assert 0 < result.large_average_precision <= 1
    assert cv2.imread(str(result.mask), cv2.IMREAD_UNCHANGED).shape == (301, 403)
    assert cv2.imread(str(result.overlay)).shape == (301, 403, 3)
    assert (result.export / "saved_model.pb").exists()
    assert len(list((result.run / "held_out" / "pictures").iterdir())) == 3
    again = workflow.quickstart(tmp_path, large_size=(301, 403), console=quiet, **options)
    assert again.dice == pytest.approx(result.dice), "trained again instead of continued"
    assert again.export.name == "2"
