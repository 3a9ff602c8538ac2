"""A model exported on one stack runs on the other.

Needs the Python of an environment with the other stack in `UNET3P_OTHER_PYTHON`; nothing of this
package is imported there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p.export import export_savedmodel
from keras_unet3p.tiling import predict_image
from tests.graphs.test_skip_empty import guided_model

OTHER = os.environ.get("UNET3P_OTHER_PYTHON")
SCRIPT = """
import json, sys
import numpy as np
import tensorflow as tf

folder, image, out = sys.argv[1:]
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    signatures = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def
    def run(name, **inputs):
        s = signatures[name]
        return session.run(
            {k: o.name for k, o in s.outputs.items()},
            {s.inputs[k].name: v for k, v in inputs.items()})
    png = open(image + ".png", "rb").read()
    image = np.load(image)
    np.savez(
        out,
        version=tf.__version__,
        probabilities=run("probabilities", image=image[None])["probabilities"][0],
        class_ids=run("classes", image=image[None])["class_ids"][0],
        tile=run("tile", tile=np.ones((2, 32, 32, 1), np.float32))["probabilities"],
        png=run("serving_default", image_bytes=[png])["mask_bytes"][0],
    )
"""


@pytest.mark.skipif(
    OTHER is None, reason="UNET3P_OTHER_PYTHON names no Python with the other TensorFlow"
)
def test_exported_here_runs_there(tmp_path):
    model = guided_model()
    folder = export_savedmodel(model, tmp_path / "m", tile_size=32, halo=8)
    image = np.zeros((40, 70, 1), np.uint8)
    image[:20, :30] = 255
    np.save(tmp_path / "image.npy", image)
    Path(f"{tmp_path}/image.npy.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    arguments = [str(folder), str(tmp_path / "image.npy"), str(tmp_path / "found.npz")]
    subprocess.run([OTHER, "-c", SCRIPT, *arguments], check=True, env=environment, cwd=tmp_path)
    found = np.load(tmp_path / "found.npz")
    assert sys.executable != OTHER
    assert str(found["version"]) != tf.__version__
    expected = predict_image(model, image, tile_size=32, halo=8)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(found["class_ids"], expected[..., 0] >= 0.5)
    mask = cv2.imdecode(np.frombuffer(bytes(found["png"]), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, expected[..., 0] >= 0.5)
    tile = model(np.ones((2, 32, 32, 1), np.float32), training=False)
    np.testing.assert_allclose(found["tile"], tile, atol=1e-5)
