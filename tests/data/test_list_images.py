from __future__ import annotations

import numpy as np
import pytest

from keras_unet3p import data


def test_files_by_their_stems(tmp_path):
    for name in ("b.png", "a.ome.tif", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    expected = {"a": tmp_path / "a.ome.tif", "b": tmp_path / "b.png"}
    assert data.list_images(tmp_path) == expected
    assert list(data.list_images(str(tmp_path))) == ["a", "b"]
    assert data.list_images(tmp_path / "b.png") == {"b": tmp_path / "b.png"}


def test_what_cannot_be_listed(tmp_path):
    with pytest.raises(ValueError, match=r"images: .* holds no image \(it is empty\)"):
        data.list_images(tmp_path)
    with pytest.raises(ValueError, match="there is no folder or file"):
        data.list_images(tmp_path / "nowhere")
    for name in ("a.png", "a.tif"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="share the stem 'a'; expected one of them"):
        data.list_images(tmp_path)


def test_the_images_of_stacks_are_named_and_counted_on(tmp_path):
    np.save(tmp_path / "film.npy", np.zeros((2, 20, 20), np.uint8))
    np.save(tmp_path / "long.npy", np.zeros((1001, 4, 17), np.uint8))
    (tmp_path / "one.png").write_bytes(b"")
    names = data.name_images(data.list_images(tmp_path))
    assert names[tmp_path / "film.npy"] == ["film_000", "film_001"]
    assert names[tmp_path / "long.npy"][::500] == ["long_0000", "long_0500", "long_1000"]
    assert names[tmp_path / "one.png"] == ["one"]


def test_an_image_of_a_stack_and_a_file_of_one_name_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 20, 20), np.uint8))
    (tmp_path / "a_001.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.npy, \S*a_001\.png: share the name 'a_001'"):
        data.name_images(data.list_images(tmp_path))
