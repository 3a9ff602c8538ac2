"""Masks to a format and back are the same masks, whatever the objects look like."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_unet3p.annotations import ObjectImage, known_images
from keras_unet3p.images import read_labels, write_labels
from keras_unet3p.workflow import convert
from keras_unet3p.workflow.converting import TARGETS

FORMATS = [name for name in TARGETS if name != "masks"]
LABELS = st_numpy.arrays(np.int32, st.tuples(*[st.integers(1, 9)] * 2), elements=st.integers(0, 3))
ISLAND_IN_A_HOLE = np.ones((7, 7), np.int32)
ISLAND_IN_A_HOLE[1:6, 1:6] = 0
ISLAND_IN_A_HOLE[3, 3] = 1
TOUCHING = np.array([[1, 1, 2, 2], [1, 3, 3, 2], [1, 0, 3, 2]], np.int32)


def around(ids: np.ndarray, target: str, kind: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_labels(folder / "masks" / "a.png", ids)
        there = {"out": folder / "there", "to": target, "kind": kind}
        convert(folder / "masks", images=folder / "masks", **there)
        back = {"out": folder / "back", "to": "masks", "kind": kind}
        convert(folder / "there", images=folder / "masks", **back)
        return read_labels(folder / "back" / "a.png")[0]


def numbered(ids: np.ndarray) -> np.ndarray:
    return np.unique(np.append(0, ids), return_inverse=True)[1][1:].reshape(ids.shape)


@pytest.mark.parametrize("target", FORMATS)
@settings(max_examples=25, deadline=None)
@given(ids=LABELS)
@example(ids=ISLAND_IN_A_HOLE)
@example(ids=TOUCHING)
@example(ids=np.eye(5, dtype=np.int32))
@example(ids=np.zeros((3, 2), np.int32))
def test_instances(target, ids):
    expected = numbered(ids) if target == "coco" else ids
    np.testing.assert_array_equal(around(ids, target, "instances"), expected)


@pytest.mark.parametrize("target", FORMATS)
@settings(max_examples=25, deadline=None)
@given(ids=LABELS)
@example(ids=ISLAND_IN_A_HOLE)
@example(ids=TOUCHING)
def test_classes(target, ids):
    """The ids are those of the classes that there are."""
    np.testing.assert_array_equal(around(ids, target, "classes"), numbered(ids))


@pytest.mark.parametrize("target", FORMATS)
def test_from_format_to_format(target, tmp_path):
    write_labels(tmp_path / "masks" / "a.png", TOUCHING)
    source = tmp_path / "masks"
    for number, to in enumerate([target, *FORMATS, "masks"]):
        convert(source, out=tmp_path / str(number), to=to, images=tmp_path / "masks")
        source = tmp_path / str(number)
    np.testing.assert_array_equal(read_labels(source / "a.png")[0], TOUCHING)


def test_ids_of_any_size_have_outlines():
    ids = np.array([[0, 2**31 - 1, 5]], np.int32)
    assert list(ObjectImage("a", "a.png", ids, {}).outlines()) == [5, 2**31 - 1]
    assert list(ObjectImage("a", "a.png", ids[:, 1:], {}).outlines()) == [5, 2**31 - 1]


def test_images_are_known_by_their_stems(tmp_path):
    write_labels(tmp_path / "a.png", TOUCHING)
    np.save(tmp_path / "b.npy", np.zeros((4, 30, 20), np.uint8))
    with pytest.raises(ValueError, match=r"b\.npy: holds 4 images"):
        known_images(tmp_path)
    (tmp_path / "b.npy").unlink()
    assert known_images(tmp_path) == {"a": ("a.png", 3, 4)}
