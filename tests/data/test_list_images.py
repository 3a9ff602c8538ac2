from __future__ import annotations

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
