"""A file that is damaged anywhere is read or refused in words, and by no other error."""

from __future__ import annotations

import copy
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet3p.annotations import (
    KnownImage,
    ObjectImage,
    find_format,
    read_annotations,
    write_coco,
    write_geojson,
    write_imagej,
    write_labelme,
)
from keras_unet3p.errors import InputError

IDS = np.zeros((12, 14), np.int32)
IDS[1:6, 1:6], IDS[2:4, 2:4], IDS[8, 8], IDS[10, 10], IDS[9:, :3] = 1, 0, 2, 2, 3
IMAGE = ObjectImage("a", "a.png", IDS, {1: "cell", 2: "debris", 3: "cell"})
IMAGES = {"a": KnownImage("a.png", *IDS.shape)}
ODD = [None, True, -1, 0, 10**30, 1e308, float("nan"), "", "a", "\0", [], {}, [[]], [None], [[1]]]
SUFFIXES = {"coco": ".json", "labelme": ".json", "geojson": ".geojson", "labelstudio": ".json"}


def label_studio():
    sizes = {"original_height": 12, "original_width": 14}
    points = [[0, 0], [50, 0], [50, 50]]
    rle = [0, 0, 2, 160, 57, 27, 254, 23]
    results = [
        {"type": "polygonlabels", "value": {"points": points, "polygonlabels": ["a"]}, **sizes},
        {"type": "brushlabels", "value": {"format": "rle", "rle": rle}, **sizes},
    ]
    return [{"data": {"image": "a.png"}, "annotations": [{"result": results}]}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A content of each format of JSON."""
    folder = tmp_path_factory.mktemp("whole")
    write_coco(folder / "coco.json", [IMAGE], {"cell": 1, "debris": 2})
    write_labelme(folder / "labelme.json", IMAGE)
    write_geojson(folder / "geojson.json", IMAGE)
    found = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    return {**found, "labelstudio": label_studio()}


def places(content, at=()):
    """Where something can be replaced."""
    yield at
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        yield from places(value, (*at, key)) if isinstance(value, (dict, list)) else [(*at, key)]


def replaced(content, at, value):
    if not at:
        return value
    content = copy.deepcopy(content)
    inner = content
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return content


def read(path, name, images):
    try:
        find_format(path)
        found = read_annotations(path, name, images, max_pixels=10_000)
        for image in found.images:
            image.painted()
    except InputError:
        pass


@pytest.mark.parametrize("name", SUFFIXES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_json(name, whole, tmp_path_factory, data):
    at = data.draw(st.sampled_from(list(places(whole[name]))))
    content = replaced(whole[name], at, data.draw(st.sampled_from(ODD)))
    path = tmp_path_factory.getbasetemp() / f"a{SUFFIXES[name]}"
    path.write_text(json.dumps(content))
    for images in (IMAGES, None):
        read(path, name, images)


@settings(max_examples=150, deadline=None)
@given(
    place=st.integers(0, 400),
    value=st.integers(0, 255),
    cut=st.integers(0, 400) | st.none(),
)
def test_regions(tmp_path_factory, place, value, cut):
    path = tmp_path_factory.getbasetemp() / "a.zip"
    write_imagej(path, IMAGE)
    with zipfile.ZipFile(path) as archive:
        content = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    for one in content.values():
        one[place % len(one)] = value
    encoded = io.BytesIO()
    with zipfile.ZipFile(encoded, "w") as archive:
        for name, one in content.items():
            archive.writestr(name, bytes(one[:cut]))
    path.write_bytes(encoded.getvalue())
    read(path, "imagej", IMAGES)
    path.write_bytes(encoded.getvalue()[: -(cut or 1)])
    read(path, "imagej", IMAGES)
