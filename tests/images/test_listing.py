from __future__ import annotations

from pathlib import Path

import pytest

from keras_unet3p import images


def test_files_by_their_stems(tmp_path):
    for name in ("b.png", "a.ome.tif", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    expected = {"a": tmp_path / "a.ome.tif", "b": tmp_path / "b.png"}
    assert images.list_images(tmp_path) == expected
    assert list(images.list_images(str(tmp_path))) == ["a", "b"]
    assert images.list_images(tmp_path / "b.png") == {"b": tmp_path / "b.png"}


def test_what_cannot_be_listed(tmp_path):
    with pytest.raises(ValueError, match=r"images: .* holds no image \(it is empty\)"):
        images.list_images(tmp_path)
    with pytest.raises(ValueError, match="there is no folder or file"):
        images.list_images(tmp_path / "nowhere")
    for name in ("a.png", "a.tif"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="share the stem 'a'; expected one of them"):
        images.list_images(tmp_path)


def test_the_images_of_stacks_are_numbered():
    files = {"film": Path("film.npy"), "long": Path("long.tif"), "one": Path("one.png")}
    names = images.name_images(files, {"film": 2, "long": 1001, "one": 1})
    assert names["film"] == ["film_000", "film_001"]
    assert names["long"][::500] == ["long_0000", "long_0500", "long_1000"]
    assert names["one"] == ["one"]


def test_an_image_of_a_stack_and_a_file_of_one_name_are_refused():
    files = {"a": Path("a.npy"), "a_001": Path("a_001.png")}
    with pytest.raises(ValueError, match=r"a\.npy, a_001\.png: share the name 'a_001'"):
        images.name_images(files, {"a": 2, "a_001": 1})
    images.name_images(files, {"a": 1, "a_001": 1})
