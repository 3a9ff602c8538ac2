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
from tests.graphs.test_skip_empty import guided_model

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
        env={
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_XLA_FLAGS": "--tf_xla_auto_jit=0",
            "TF_ENABLE_ONEDNN_OPTS": "1",  # the default where the processor has what it needs
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


pytestmark = pytest.mark.skipif(
    not LIBRARY.exists(), reason="the wheel has no libtensorflow_cc.so.2"
)
FLOAT, UINT8, STRING = 1, 4, 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    limits = {"max_pixels": 3_000_000, "max_batch_pixels": 4_000_000}
    return export_savedmodel(guided_model(), base, tile_size=32, halo=8, **limits)


def test_all_signatures_answer_through_the_c_library(folder):
    model = guided_model()
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


WRONG_SHAPES = {
    "image": [
        *((1,) * rank for rank in (0, 1, 2, 3, 5, 6, 7)),
        (4, 4),
        (40, 50),
        (2, 2, 1),
        (1, 40, 50),
        (1, 40, 50, 0),
        (1, 40, 50, 2),
        (1, 40, 50, 3),
        (1, 1, 40, 50, 1),
        (1, 0, 50, 1),
        (1, 40, 0, 1),
        (0, 0, 0, 1),
        (0, 40, 50, 1),
        (1, 1, 1, 2**20),
        # Beyond the limits of this export: an image, one whose product overflows, a batch.
        (1, 3001, 1000, 1),
        (0, 2**32, 2**31, 1),
        (5, 1000, 1000, 1),
    ],
    "tile": [
        *((1,) * rank for rank in (0, 1, 2, 3, 4, 5, 6, 7)),
        (32, 32),
        (1, 32, 32),
        (32, 32, 1),
        (1, 31, 32, 1),
        (1, 32, 33, 1),
        (1, 64, 16, 1),
        (1, 32, 32, 0),
        (1, 32, 32, 2),
        (1, 1, 32, 32, 1),
        (0, 32, 32, 1),
        (4000, 32, 32, 1),
    ],
    "image_bytes": [(), (1, 1), (1, 1, 1), (0, 0)],
}
INPUTS = [
    ("image_bytes", "serving_default_image_bytes", "serving_default_mask_bytes_out", STRING),
    ("image", "classes_image", "classes_class_ids_out", UINT8),
    ("image", "probabilities_image", "probabilities_probabilities_out", UINT8),
    ("tile", "tile_tile", "tile_probabilities_out", FLOAT),
]


def test_a_wrong_shape_or_size_is_an_invalid_argument_and_the_process_goes_on(folder):
    """No shape is checked between a request and the graph, as in TensorFlow Serving."""
    calls = [
        (given, wanted, dtype, shape)
        for kind, given, wanted, dtype in INPUTS
        for shape in WRONG_SHAPES[kind]
    ]
    good = [("classes_image", "classes_class_ids_out", UINT8, (2, 5, 4, 1))]
    *answers, last = run(folder, {"shapes": [*calls, *good]})
    accepted = [
        (call, answer)
        for call, answer in zip(calls, answers, strict=True)
        if not answer.startswith("INVALID_ARGUMENT")
    ]
    assert accepted == []
    assert last.startswith("[")
    messages = dict(zip([(given, shape) for given, _, _, shape in calls], answers, strict=True))
    for given in ("classes_image", "probabilities_image"):
        assert (
            "[3000000] [pixels; found height and width] [3001] [1000]"
            in (messages[given, (1, 3001, 1000, 1)])
        )
        assert "[4000000] [pixels together" in messages[given, (5, 1000, 1000, 1)]
