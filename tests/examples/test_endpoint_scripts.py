"""The scripts for QuPath and Fiji against a local endpoint, as far as they go without them."""

import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from keras_unet3p import workflow
from keras_unet3p.endpoint import LocalServer
from keras_unet3p.images import pictures

EXAMPLES = Path(__file__).parents[2] / "examples"
IMAGEJ = Path("/usr/share/java/ij.jar")  # Debian's
SCRIPTS = ("qupath_endpoint.groovy", "fiji_endpoint.groovy")
CHECK = Path(__file__).with_name("check_endpoint_script.groovy")


def run_script(name, model, image, out):
    if shutil.which("groovy") is None:
        pytest.skip("groovy is not installed: the scripts are written in it")
    classes = []
    if name.startswith("fiji"):
        if not IMAGEJ.exists():
            pytest.skip(f"no {IMAGEJ}: the script for Fiji needs ImageJ's classes")
        classes = ["-cp", IMAGEJ]
    command = ["groovy", *classes, "-Djava.awt.headless=true", CHECK, EXAMPLES / name]
    told = subprocess.run(
        [*map(str, command), model, str(image), str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert told.returncode == 0, (told.stdout + told.stderr)[-2000:]
    return told.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A ring and a block, grey."""
    pixels = np.zeros((70, 100), np.uint8)
    pixels[12:40, 25:55] = 220
    pixels[20:30, 35:45] = 30
    pixels[50:60, 70:90] = 240
    path = tmp_path_factory.mktemp("image") / "cells.png"
    pictures.write_picture(path, pixels)
    return path


@pytest.mark.parametrize("name", SCRIPTS)
def test_class_ids_come_back(name, server, image, tmp_path):
    told = run_script(name, f"{server.url}/v1/models/cells", image, tmp_path)
    assert "checked" in told
    assert "cells_other" in told.partition("error: ")[2]
    pixels = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)
    labels = cv2.imread(str(tmp_path / "labels.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(labels, pixels > 128)


def test_fiji_s_rois_are_the_pixels(server, image, tmp_path):
    run_script("fiji_endpoint.groovy", f"{server.url}/v1/models/cells", image, tmp_path)
    pixels = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)
    for name, window in (
        ("all", np.ones(pixels.shape, bool)),
        ("part", np.zeros(pixels.shape, bool)),
    ):
        if name == "part":
            window[10:50, 20:80] = True
        masks = rois_as_mask(tmp_path / f"{name}.zip", image)
        np.testing.assert_array_equal(masks, (pixels > 128) & window)


def rois_as_mask(path, image):
    """The pixels of all ROIs of a file, by our own reader."""
    folder, out = path.with_suffix(""), path.with_name(f"{path.stem}-masks")
    folder.mkdir()
    shutil.copy(path, folder / "cells.rois.zip")
    workflow.convert(folder, out=out, to="masks", source_format="imagej", images=image.parent)
    return cv2.imread(str(out / "cells.png"), cv2.IMREAD_UNCHANGED) > 0


def write_instances_model(folder):
    """A model that tells instances apart by their grey value."""
    module = tf.Module()

    def numbered(encoded):
        pixels = tf.io.decode_image(encoded, channels=1, expand_animations=False)
        return tf.io.encode_png(tf.cast(tf.ensure_shape(pixels, [None, None, 1]), tf.uint16) * 3)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def instances_of_bytes(image_bytes):
        pngs = tf.map_fn(numbered, image_bytes, fn_output_signature=tf.string)
        return {"instance_bytes": pngs, "count": tf.zeros_like(tf.strings.length(pngs))}

    module.instances_of_bytes = instances_of_bytes
    signatures = {"serving_default": instances_of_bytes, "instances_of_bytes": instances_of_bytes}
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)


@pytest.mark.parametrize("name", SCRIPTS)
def test_instances_come_back_with_16_bits(name, image, tmp_path):
    write_instances_model(tmp_path / "models")
    with LocalServer({"cells": tmp_path / "models"}) as server:
        run_script(name, f"{server.url}/v1/models/cells", image, tmp_path)
    labels = cv2.imread(str(tmp_path / "labels.png"), cv2.IMREAD_UNCHANGED)
    pixels = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(labels, pixels.astype(np.uint16) * 3)


def test_qupath_s_script_as_a_whole(server, image, tmp_path):
    """With stand-ins for QuPath's own classes, which are not here."""
    told = run_script(SCRIPTS[0], f"{server.url}/v1/models/cells", image, tmp_path)
    pixels = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)[10:50, 20:80]
    assert f"annotations: [1] of [{(pixels > 128).sum()}] pixels" in told


def test_both_scripts_speak_to_the_endpoint_in_the_same_way():
    parts = [
        re.search(
            r"// ---- the endpoint.*// ---- end of the endpoint",
            (EXAMPLES / name).read_text("utf-8"),
            re.S,
        )[0]
        for name in SCRIPTS
    ]
    assert parts[0] == parts[1]
