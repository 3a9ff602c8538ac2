"""The exported model in TensorFlow's C++ loader, without Python's TensorFlow in the process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_unet3p.export import export_savedmodel
from keras_unet3p.tiling import predict_image
from tests.export.test_skip_empty import guided_model

LIBRARY = Path(importlib.util.find_spec("tensorflow").origin).parent / "libtensorflow_cc.so.2"
RUNNER = Path(__file__).with_name("c_library_runner.py")


def run(folder, request):
    """Answers of the four signatures, computed by the C library in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(LIBRARY), str(folder)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        # As the server: no XLA on the CPU, not even where the environment asks for it.
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "TF_XLA_FLAGS": "--tf_xla_auto_jit=0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.skipif(not LIBRARY.exists(), reason="the wheel has no libtensorflow_cc.so.2")
def test_all_signatures_answer_through_the_c_library(tmp_path):
    model = guided_model()
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32, halo=8)
    image = np.zeros((40, 50, 1), np.uint8)
    image[:20, :30] = 255
    expected = predict_image(model, image, tile_size=32, halo=8)[..., 0]
    tile = np.ones((32, 32), np.float32)
    answers = run(
        folder,
        {
            "image": image[..., 0].tolist(),
            "tile": tile.tolist(),
            "png": cv2.imencode(".png", image)[1].tobytes().hex(),
        },
    )
    mask = cv2.imdecode(np.frombuffer(bytes.fromhex(answers["serving_default"]), np.uint8), -1)
    assert 0 < (expected >= 0.5).mean() < 1
    np.testing.assert_array_equal(mask, expected >= 0.5)
    np.testing.assert_array_equal(np.reshape(answers["classes"], (40, 50)), expected >= 0.5)
    found = np.reshape(answers["probabilities"], (40, 50))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    of_tile = model(tile[None, ..., None], training=False).numpy()[0, ..., 0]
    np.testing.assert_allclose(np.reshape(answers["tile"], (32, 32)), of_tile, atol=1e-5)
    assert "INVALID_ARGUMENT" in answers["bad bytes"]
