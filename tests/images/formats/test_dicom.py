"""DICOM series, written by pydicom, and read as slices; segmentations by highdicom."""

import sys

import numpy as np
import pytest
from dicom_files import write_series

from keras_unet3p import images
from keras_unet3p.config import ReadingChoices
from keras_unet3p.errors import MissingExtraError
from keras_unet3p.images.formats import dicom

pydicom = pytest.importorskip("pydicom", minversion="3", reason="needs the extra medical")


def values(*shape):
    return np.random.default_rng(0).integers(0, 4096, shape).astype(np.uint16)


@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_a_series_is_sorted_and_in_hounsfield_units(tmp_path, suffix):
    array = values(5, 20, 30)
    folder = write_series(tmp_path / "scan", array, suffix=suffix)
    assert {"scan": folder} == images.list_images(tmp_path) == images.list_images(folder)
    found = images.open_planes(folder)
    assert len(found) == 5
    assert found[0].dtype == np.int16
    assert found[0].pixel_size == 750
    assert {plane.volume for plane in found} == {str(folder)}
    for z, plane in enumerate(found):
        expected = array[z].astype(int) - 1024
        assert np.array_equal(plane[:, :][..., 0], expected)
        assert np.array_equal(plane[3:9, 10:][..., 0], expected[3:9, 10:])
    (soft, *_) = images.open_planes(folder, ReadingChoices(window="soft-tissue"))
    assert soft.dtype == np.float32
    expected = np.clip((array[0].astype(float) - 1024 + 160) / 400, 0, 1)
    assert np.allclose(soft[:, :][..., 0], expected, atol=1e-6)


def test_fractions_of_units_are_floats_and_missing_rules_leave_what_is_stored(tmp_path):
    array = values(2, 6, 7)
    (first, _) = images.open_planes(write_series(tmp_path / "a", array, slope=0.5))
    assert first.dtype == np.float32
    assert np.allclose(first[:, :][..., 0], array[0] * 0.5 - 1024)
    plain = write_series(tmp_path / "b", array, intercept=0)
    (first, _) = images.open_planes(plain)
    assert first.dtype == np.uint16
    assert np.array_equal(first[:, :][..., 0], array[0])
    inverted = {"PhotometricInterpretation": "MONOCHROME1"}
    (first, _) = images.open_planes(write_series(tmp_path / "c", array, intercept=0, **inverted))
    assert np.array_equal(first[:, :][..., 0], 4095 - array[0])


def test_views(tmp_path):
    array = values(5, 6, 7)
    folder = write_series(tmp_path / "scan", array, intercept=0)
    # From the feet, as it was acquired; from the front the head is up.
    axial = images.open_planes(folder, ReadingChoices(slice_axis="axial"))
    assert np.array_equal(axial[3][:, :][..., 0], array[3])
    coronal = images.open_planes(folder, ReadingChoices(slice_axis="coronal"))
    assert len(coronal) == 6
    # Rows towards the feet, columns towards the left; slices from back to front.
    assert np.array_equal(coronal[1][:, :][..., 0], array[::-1, 4])
    assert np.array_equal(coronal[1][1:3, 2:][..., 0], array[::-1, 4][1:3, 2:])


def test_files_of_several_series_are_images_by_themselves(tmp_path):
    array = values(1, 6, 7)
    for number in range(3):
        write_series(tmp_path / f"{number}", array + number, intercept=0)
        file = tmp_path / f"{number}" / "000.dcm"
        file.rename(tmp_path / f"x{number}.dcm")
        file.parent.rmdir()
    found = images.list_images(tmp_path)
    assert list(found) == ["x0", "x1", "x2"]
    (plane,) = images.open_planes(found["x2"])
    assert plane.volume is None
    assert np.array_equal(plane[:, :][..., 0], array[0] + 2)
    write_series(tmp_path / "two", values(3, 6, 7))
    for number in range(3):
        (tmp_path / f"x{number}.dcm").rename(tmp_path / "two" / f"x{number}.dcm")
    with pytest.raises(ValueError, match=r"4 series .*expected one in a folder"):
        images.open_planes(tmp_path / "two")


def test_damaged_and_mixed_files_are_refused(tmp_path):
    folder = write_series(tmp_path / "scan", values(3, 6, 7), series="1.2.3")
    (folder / "000.dcm").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        images.open_planes(folder)
    write_series(tmp_path / "scan", values(3, 6, 7), series="1.2.3")
    write_series(tmp_path / "other", values(1, 9, 9), series="1.2.3")
    (tmp_path / "other" / "000.dcm").rename(folder / "900.dcm")
    with pytest.raises(ValueError, match=r"900.dcm: 9 x 9 pixels; expected 6 x 7"):
        images.open_planes(folder)


@pytest.mark.parametrize("view", ["acquired", "sagittal"])
def test_segmentations_are_written_and_read(tmp_path, view):
    pytest.importorskip("highdicom", reason="needs the extra medical")
    folder = write_series(tmp_path / "scan", values(4, 6, 7))
    reading = ReadingChoices(slice_axis=view)
    slices = images.open_planes(folder, reading)
    labels = [
        np.random.default_rng(n).integers(0, 3, plane.shape[:2]).astype(np.uint8)
        for n, plane in enumerate(slices)
    ]
    labels[0][:] = 0
    with dicom.label_file(folder, tmp_path / "mask.dcm", reading, np.uint8) as file:
        for number, ids in enumerate(labels):
            writer = file.plane(number)
            writer[:, :] = ids
            writer.finish()
    dataset = pydicom.dcmread(tmp_path / "mask.dcm")
    assert dataset.Modality == "SEG"
    assert [str(each.SegmentLabel) for each in dataset.SegmentSequence] == ["class 1", "class 2"]
    sources = {
        each.ReferencedSOPInstanceUID
        for each in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert len(sources) == 4
    from keras_unet3p.images import file_source

    read = file_source.expand(tmp_path / "mask.dcm", images.Limits(), reading, labels=True)
    found = [plane.read(labels=True)[..., 0] for plane in read]
    assert np.array_equal(np.stack(found), np.stack(labels))
    with (
        pytest.raises(ValueError, match="holds classes, not instances"),
        dicom.label_file(folder, tmp_path / "ids.dcm", reading, np.uint32),
    ):
        pass


def _compressed(folder, array, syntax, **options):
    """A series whose pixels pydicom compressed."""
    for file in write_series(folder, array, **options).iterdir():
        dataset = pydicom.dcmread(file)
        dataset.compress(getattr(pydicom.uid, syntax))
        dataset.save_as(file)
    return folder


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("syntax", "encoder", "decoder"),
    [
        ("RLELossless", "pydicom", "pydicom"),
        ("JPEGLSLossless", "jpeg_ls", "pyjpegls"),
        ("JPEG2000Lossless", "openjpeg", "pillow"),
    ],
)
def test_compressed_series_are_read(tmp_path, syntax, encoder, decoder, signed):
    pytest.importorskip(encoder, reason=f"writes {syntax}")
    array = values(2, 64, 72)
    options = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15} if signed else {}
    array = array - np.uint16(3000) * signed  # as two's complement
    folder = _compressed(tmp_path / "scan", array, syntax, **options)
    expected = array.astype(np.int16 if signed else np.uint16).astype(int)
    for plane, slice_ in zip(images.open_planes(folder), expected, strict=True):
        assert np.array_equal(plane[:, :][..., 0], slice_ - 1024)
    # What the extra brings is enough, whatever else is installed.
    file = folder / "000.dcm"
    assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == getattr(pydicom.uid, syntax)
    own = pydicom.pixels.pixel_array(file, decoding_plugin=decoder)
    assert np.array_equal(own, expected[0])


def test_compressed_colours_are_read(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3)).astype(np.uint8)
    colour = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    folder = write_series(tmp_path / "scan", array, intercept=0, **colour)
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.compress(pydicom.uid.RLELossless)
        dataset.save_as(file)
    found = images.open_planes(folder)
    for plane, slice_ in zip(found, array, strict=True):
        assert np.array_equal(plane[:, :], slice_)


@pytest.mark.parametrize(
    ("syntax", "packages"),
    [
        ("JPEGLosslessSV1", "python-gdcm"),
        ("JPEGLSLossless", "pyjpegls"),
        ("JPEG2000Lossless", "pylibjpeg pylibjpeg-openjpeg"),
        ("HTJ2KLossless", "pylibjpeg pylibjpeg-openjpeg"),
        ("MPEG2MPML", None),
    ],
)
def test_a_missing_decoder_is_named(tmp_path, monkeypatch, syntax, packages):
    folder = _compressed(tmp_path / "scan", values(1, 6, 7), "RLELossless")
    (file,) = folder.iterdir()
    dataset = pydicom.dcmread(file)
    dataset.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    dataset.save_as(file)
    if packages is not None:
        decoder = type(pydicom.pixels.get_decoder(getattr(pydicom.uid, syntax)))
        monkeypatch.setattr(decoder, "is_available", False)
    expected = (
        f"decoder: pip install {packages}$" if packages else "which is not read; expected RLE"
    )
    with pytest.raises(ValueError, match=expected):
        images.open_planes(file)


def test_segments_are_called_as_the_classes(tmp_path):
    pytest.importorskip("highdicom", reason="needs the extra medical")
    folder = write_series(tmp_path / "scan", values(2, 6, 7))
    names = ("background", "Gefäß", "a\\b" + "x" * 70)
    labels = np.arange(42).reshape(6, 7) % 4
    target = tmp_path / "mask.dcm"
    with dicom.label_file(folder, target, ReadingChoices(), np.uint8, names) as file:
        file.plane(1)[:, :] = labels
    segments = pydicom.dcmread(target).SegmentSequence
    found = [str(each.SegmentLabel) for each in segments]
    assert found[0] == "Gefäß"
    assert found[1] == ("a/b" + "x" * 70)[:64]
    assert found[2] == "class 3"


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    folder = write_series(tmp_path / "scan", values(3, 6, 7))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r'pip install "keras_unet3p\[medical\]"'):
        images.open_planes(folder)
