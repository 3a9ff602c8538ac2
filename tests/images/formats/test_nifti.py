"""NIfTI, written by nibabel, and read as slices."""

import sys

import numpy as np
import pytest

from keras_unet3p import images
from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import MissingExtraError
from keras_unet3p.images.formats import nifti

nibabel = pytest.importorskip("nibabel", reason="needs the extra medical")


def write(path, array, affine=None, unit="mm", slope=None):
    image = nibabel.Nifti1Image(array, np.diag([0.5, 0.5, 2, 1]) if affine is None else affine)
    image.header.set_xyzt_units(unit)
    if slope is not None:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, path)
    return path


def values(*shape):
    return np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_slices_are_those_of_the_array(tmp_path, name):
    array = values(30, 20, 5)  # x, y, z
    path = write(tmp_path / name, array)
    found = images.open_planes(path)
    assert len(found) == 5
    for z, plane in enumerate(found):
        assert plane.shape == (20, 30, 1)
        assert np.array_equal(plane[:, :][..., 0], array[:, :, z].T)
        assert np.array_equal(plane[3:9, 10:][..., 0], array[10:, 3:9, z].T)
    assert found[0].dtype == np.int16
    assert found[0].pixel_size == 500
    assert {plane.volume for plane in found} == {str(path)}
    assert list(images.list_images(tmp_path)) == ["a"]
    np.save(tmp_path / "b.npy", array.T)
    pairs = zip(images.ImageFile(path), images.ImageFile(tmp_path / "b.npy"), strict=True)
    assert all(np.array_equal(own, other) for own, other in pairs)


def test_views_are_those_of_radiologists_however_the_file_lies(tmp_path):
    array = values(4, 5, 6)
    # The same patient, stored with other axes in other directions.
    write(tmp_path / "ras.nii", array, np.diag([1, 1, 1, 1]))
    turned = array.transpose(2, 0, 1)[::-1, :, ::-1]
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = -1, 1, -1, 1
    write(tmp_path / "irp.nii", turned, affine)
    expected = {
        # From the feet: rows from front to back, columns from the patient's right to the left.
        "axial": [array[::-1, ::-1, z].T for z in range(6)],
        "coronal": [array[::-1, y, ::-1].T for y in range(5)],
        "sagittal": [array[x, ::-1, ::-1].T for x in range(3, -1, -1)],
    }
    for view, slices in expected.items():
        for name in ("ras.nii", "irp.nii"):
            found = images.open_planes(tmp_path / name, ReadingChoices(slice_axis=view))
            assert len(found) == len(slices)
            for plane, own in zip(found, slices, strict=True):
                assert np.array_equal(plane[:, :][..., 0], own)
                assert np.array_equal(plane[1:3, 2:4][..., 0], own[1:3, 2:4])


def test_scaled_values_time_and_windows(tmp_path):
    array = values(6, 7, 3, 2)
    path = write(tmp_path / "a.nii", array, slope=(2.0, -100.0))
    stored = np.asanyarray(nibabel.load(path).dataobj)
    found = images.open_planes(path)
    assert len(found) == 6
    assert found[0].dtype == np.float32
    assert np.allclose(found[4][:, :][..., 0], stored[:, :, 1, 1].T)
    assert [plane.volume for plane in found] == [f"{path} t{t}" for t in (0, 0, 0, 1, 1, 1)]
    (first, *_) = images.open_planes(path, ReadingChoices(window="40,400"))
    expected = np.clip((stored[:, :, 0, 0].T + 160) / 400, 0, 1)
    assert np.allclose(first[:, :][..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("view", ["acquired", "axial", "coronal", "sagittal"])
def test_masks_have_the_affine_and_header_of_their_image(tmp_path, view):
    affine = np.array([[0, 0.5, 0, 3], [-0.5, 0, 0, 4], [0, 0, 2, 5], [0, 0, 0, 1.0]])
    path = write(tmp_path / "a.nii.gz", values(6, 7, 3), affine, slope=(2.0, 0.0))
    reading = ReadingChoices(slice_axis=view)
    labels = np.random.default_rng(0).integers(0, 4, (6, 7, 3)).astype(np.uint8)
    write(tmp_path / "truth.nii", labels, affine)
    slices = images.open_planes(tmp_path / "truth.nii", reading)
    with nifti.label_file(path, tmp_path / "mask.nii.gz", reading, np.uint8) as file:
        for number, plane in enumerate(slices):
            ids = plane[:, :][..., 0]
            writer = file.plane(number)
            writer[:2, :] = ids[:2]
            writer[2:, :] = ids[2:]
            writer.finish()
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    image = nibabel.load(path)
    assert np.array_equal(np.asanyarray(mask.dataobj), labels)
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(mask.affine, image.affine)
    for name in ("pixdim", "sform_code", "qform_code", "xyzt_units", "srow_x", "quatern_b"):
        assert np.array_equal(mask.header[name], image.header[name]), name
    assert np.array_equal(images.read_labels(tmp_path / "mask.nii.gz")[1], labels[:, :, 1].T)


def test_damaged_files_and_others_are_refused(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"no volume" * 100)
    with pytest.raises(ValueError, match=r"a.nii: cannot be read"):
        images.open_planes(tmp_path / "a.nii")
    path = write(tmp_path / "b.nii", values(6, 7, 3))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"b.nii: cannot be read"):
        images.open_planes(path)[2][:, :]
    write(tmp_path / "c.nii", values(6, 7))
    with pytest.raises(ValueError, match="a volume of 6 x 7; expected three axes"):
        images.open_planes(tmp_path / "c.nii")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.nii", values(6, 7, 3))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r'pip install "keras_unet3p\[medical\]"'):
        images.open_planes(path)
