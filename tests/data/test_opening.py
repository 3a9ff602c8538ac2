from __future__ import annotations

import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from keras_unet3p import data, images

RNG = np.random.default_rng(2)
IMAGE = RNG.integers(0, 256, (24, 30), np.uint8)


def mask_of(*values: int, dtype=np.uint8) -> np.ndarray:
    """These values side by side, in vertical bands."""
    bands = np.arange(30) * len(values) // 30
    return np.array(values, dtype)[bands][None].repeat(24, 0)


def dots_of(*values: int, dtype=np.uint8) -> np.ndarray:
    """These values scattered: no value is in one piece."""
    mask = np.zeros((24, 30), dtype)
    mask[::2, ::2] = RNG.choice(np.array(values, dtype), (12, 15))
    mask[0, : 2 * len(values) : 2] = values
    return mask


# --- pairing -------------------------------------------------------------------------------------


def test_images_and_masks_pair_by_stem(tmp_path):
    (tmp_path / "i").mkdir()
    (tmp_path / "m").mkdir()
    for name, mask_name in (
        ("a.png", "a.tif"),
        ("b.TIF", "b.png"),
        ("c.ome.tif", "c.png"),
        ("d.v2.bmp", "d.v2.png"),
        ("e.png", "e_mask.png"),
        ("f.png", "f_Labels.png"),
    ):
        for path in (tmp_path / "i" / name, tmp_path / "m" / mask_name):
            array = IMAGE if path.parent.name == "i" else mask_of(0, 255)
            if path.suffix.lower() == ".tif":
                tifffile.imwrite(path, array)
            else:
                Image.fromarray(array).save(path)
    (tmp_path / "i" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "i" / "notes.txt").write_text("x")
    opened = data.open_images(tmp_path / "i", str(tmp_path / "m"))
    assert opened.names == ["a", "b", "c", "d.v2", "e", "f"]
    assert opened.mask_kind == "binary"
    for sample in opened:
        np.testing.assert_allclose(sample.image[..., 0], IMAGE / 255, atol=1e-6)
        np.testing.assert_array_equal(sample.labels, mask_of(0, 1))
        assert (sample.image.dtype, sample.labels.dtype) == (np.float32, np.int32)


def test_one_name_in_two_spellings_is_one(folder):
    composed = unicodedata.normalize("NFC", "Zäh_ü")
    decomposed = unicodedata.normalize("NFD", "Zäh_ü")
    folder.add(composed, IMAGE, None)
    folder.add(decomposed, None, mask_of(0, 1))
    assert folder.open().names == [composed]
    (folder.masks / f"{decomposed}.npy").rename(folder.masks / f"{decomposed}_mask.npy")
    assert folder.open().names == [composed]
    assert list(images.list_images(folder.masks)) == [f"{composed}_mask"]


def test_names_of_files_are_printed_on_one_line(folder):
    folder.add("a\nb\x1b[31m", IMAGE, None)
    folder.add("c\nd", IMAGE, mask_of(0, 1))
    (folder.images / "c\nd.npy").write_bytes(b"no image")
    with pytest.raises(ValueError, match="2 problems") as error:
        folder.open()
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert any(r"a\nb\x1b[31m.npy: has no mask" in line for line in lines)
    assert any(r"c\nd.npy: cannot be read" in line for line in lines)


def test_a_missing_partner_is_named_on_either_side(folder):
    folder.add("both", IMAGE, mask_of(0, 1))
    folder.add("bare", IMAGE, None)
    folder.add("lost", None, mask_of(0, 1))
    with pytest.raises(ValueError, match="2 problems") as error:
        folder.open()
    assert "bare.npy: has no mask; expected a file bare.* among the masks" in str(error.value)
    assert "lost.npy: has no image; expected a file lost.* among the images" in str(error.value)


def test_a_doubled_partner_is_named(folder):
    folder.add("a", IMAGE, mask_of(0, 1))
    Image.fromarray(IMAGE).save(folder.images / "a.png")
    folder.add("b", IMAGE, mask_of(0, 1))
    folder.add("b_mask", None, mask_of(0, 1))
    with pytest.raises(ValueError, match="2 problems") as error:
        folder.open()
    assert "a.npy, a.png share the stem a; expected one of them" in str(error.value)
    assert "b.npy, b_mask.npy share the stem b; expected one of them" in str(error.value)


def test_stacks_pair_page_by_page(tmp_path):
    images = RNG.integers(0, 65536, (3, 24, 30), np.uint16)
    masks = np.stack([mask_of(0, 255), mask_of(255, 0), mask_of(0, 255, 0)])
    tifffile.imwrite(tmp_path / "volume.tif", images, photometric="minisblack")
    tifffile.imwrite(tmp_path / "truth.tif", masks, photometric="minisblack")
    opened = data.open_images(tmp_path / "volume.tif", tmp_path / "truth.tif")
    assert opened.names == ["volume_000", "volume_001", "volume_002"]
    for index, sample in enumerate(opened):
        np.testing.assert_allclose(sample.image[..., 0], images[index] / 65535, atol=1e-6)
        np.testing.assert_array_equal(sample.labels, masks[index] // 255)


def test_a_stack_with_too_few_masks_is_named(folder):
    folder.add("a", np.stack([IMAGE] * 3), np.stack([mask_of(0, 1)] * 2))
    with pytest.raises(ValueError, match=r"a\.npy: holds 2 masks, a\.npy 3 images; expected as m"):
        folder.open()


def test_arrays_and_lists_of_files(tmp_path):
    masks = [mask_of(0, 1), mask_of(1, 0)]
    paths = []
    for name in ("x", "y"):
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(IMAGE).save(paths[-1])
    for opened in (
        data.open_images([IMAGE, IMAGE], masks),
        data.open_images(np.stack([IMAGE, IMAGE]), np.stack(masks)),
        data.open_images(paths, masks),
    ):
        assert len(opened) == 2
        np.testing.assert_allclose(opened[1].image[..., 0], IMAGE / 255, atol=1e-6)
        np.testing.assert_array_equal(opened[1].labels, masks[1])
    with pytest.raises(ValueError, match="images: 2 and masks: 1; expected one mask per image"):
        data.open_images([IMAGE, IMAGE], masks[:1])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("nowhere", "images: there is no folder or file nowhere"),
        ([], r"images: list; expected a folder"),
        (3, r"images: int; expected a folder"),
        ([np.zeros(3)], r"images\[0\]: shape \(3,\); expected"),
        (np.zeros((2, 2, 2, 2, 2)), r"images: an array of shape"),
    ],
)
def test_other_sources_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        data.open_images(images, [IMAGE])


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"holds no image \(\.gif\); accepted are \.png"):
        data.open_images(tmp_path, tmp_path)


# --- files that are not right --------------------------------------------------------------------


def test_sizes_that_differ(folder):
    folder.add("a", IMAGE, mask_of(0, 1)[:20])
    with pytest.raises(
        ValueError, match=r"a\.npy: 20x30 pixels \(height x width\), its image 24x30; expected the"
    ):
        folder.open()


def test_a_truncated_image_and_an_unreadable_mask(folder):
    folder.add("a", IMAGE, mask_of(0, 1))
    Image.fromarray(IMAGE).save(folder.images / "b.png")
    (folder.masks / "b.png").write_text("no image")
    content = (folder.images / "b.png").read_bytes()
    (folder.images / "b.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="2 problems") as error:
        folder.open()
    assert "images/b.png: truncated" in str(error.value)
    assert "masks/b.png: not a PNG file" in str(error.value)


def test_values_that_are_not_finite(folder):
    folder.add("a", IMAGE / np.float32(255), mask_of(0, 1))
    folder.add("b", np.where(IMAGE > 250, np.nan, 0.5), mask_of(0, 1))
    with pytest.raises(ValueError, match=r"b\.npy: NaN or infinite values; expected finite"):
        folder.open()


def test_numbers_of_channels_that_differ(folder):
    for name in "abc":
        folder.add(name, IMAGE, mask_of(0, 1))
    folder.add("d", np.dstack([IMAGE] * 3), mask_of(0, 1))
    with pytest.raises(
        ValueError, match=r"d\.npy: 3 channel\(s\); expected 1, as the other images"
    ):
        folder.open()


def test_integers_mixed_with_floats(folder):
    for name in "abc":
        folder.add(name, IMAGE, mask_of(0, 1))
    folder.add("d", IMAGE / np.float32(255), mask_of(0, 1))
    with pytest.raises(ValueError, match=r"d\.npy: float32 values; expected integers of 8 or 16"):
        folder.open()


def test_eight_and_sixteen_bits_may_be_mixed(folder):
    folder.add("a", IMAGE, mask_of(0, 1))
    folder.add("b", IMAGE.astype(np.uint16) * 257, mask_of(0, 1))
    opened = folder.open()
    np.testing.assert_allclose(opened[0].image, opened[1].image, atol=1e-6)


def test_ten_problems_are_listed_and_the_rest_counted(folder):
    for number in range(13):
        folder.add(f"image{number:02d}", IMAGE, None)
    folder.add("good", IMAGE, mask_of(0, 1))
    with pytest.raises(ValueError, match="13 problems") as error:
        folder.open()
    lines = str(error.value).splitlines()
    assert len(lines) == 12
    assert "image09" in lines[10]
    assert lines[11] == "  - and 3 more"


# --- values of images ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "divisor", "name"),
    [(1.0, 1.0, "unit"), (255.0, 255.0, "255"), (65535.0, 65535.0, "65535"), (1e5, 1.0, "raw")],
)
def test_the_value_rule_is_decided_once_for_the_folder(folder, scale, divisor, name):
    bright = (IMAGE / np.float32(255) * scale).astype(np.float32)
    bright[0, 0] = scale
    dark = np.full_like(bright, 0.5)  # by itself it would be taken as it is
    folder.add("bright", bright, mask_of(0, 1))
    folder.add("dark", dark, mask_of(0, 1))
    opened = folder.open()
    assert opened.value_scale == opened.normalization().value_scale == name
    np.testing.assert_allclose(opened[0].image[..., 0], bright / divisor, rtol=1e-5)
    np.testing.assert_allclose(opened[1].image[..., 0], dark / divisor, rtol=1e-5)


def test_negative_floats_are_raw(folder):
    folder.add("a", IMAGE - 300.0, mask_of(0, 1))
    opened = folder.open()
    assert opened.value_scale == "raw"
    np.testing.assert_allclose(opened[0].image[..., 0], IMAGE - 300.0)


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        (IMAGE / np.float32(255 / 1.8), "raw"),
        (IMAGE / np.float32(255 / 1.8) * 100, "255"),
        (IMAGE // 100, "dtype"),
        ((IMAGE // 64).astype(np.float32), "255"),
        (IMAGE / np.float32(255), "unit"),
    ],
)
def test_a_guessed_rule_says_so_with_its_evidence(folder, recwarn, image, rule):
    folder.add("a", image, mask_of(0, 1))
    assert folder.open().value_scale == rule
    said = [str(warning.message) for warning in recwarn if warning.category is images.ValuesWarning]
    assert len(said) == (rule in ("raw", "255"))
    for text in said:
        assert f"{image.dtype} values from {np.sort(image.ravel())[0]:g} to" in text
        assert f"to {image.max():g})" in text


@pytest.mark.parametrize(("stray", "rule"), [(1.8, "unit"), (-3.0, "unit"), (900.0, "unit")])
def test_a_single_pixel_decides_neither_the_rule_nor_the_normalization(folder, stray, rule):
    image = IMAGE / np.float32(255)
    folder.add("plain", image, mask_of(0, 1))
    plain = folder.open().normalization()
    image[3, 4] = stray
    folder.add("plain", image, mask_of(0, 1))
    opened = folder.open()
    assert opened.value_scale == rule
    found = opened.normalization()
    np.testing.assert_allclose(found.mean, plain.mean, atol=0.05)
    # Were it taken as it is, 900 in one of 720 pixels would make it 33.
    assert found.std[0] < 1.3 * plain.std[0]
    assert opened[0].image[3, 4, 0] == np.float32(stray)


def test_a_pixel_that_no_network_bears_is_refused(folder):
    image = IMAGE / np.float32(255)
    image[3, 4] = 1e38
    folder.add("a", image, mask_of(0, 1))
    with pytest.raises(ValueError, match=r"a\.npy: the value 1e\+38 at row 3, column 4"):
        folder.open()


def test_images_of_another_depth_than_a_saved_normalization(folder):
    folder.add("a", IMAGE.astype(np.uint16) * 16, mask_of(0, 1))
    saved = folder.open().normalization()
    assert saved.stored_values[0].dtype == "uint16"
    folder.add("a", IMAGE, mask_of(0, 1))
    with pytest.raises(ValueError, match=r"16\S* times brighter than in training: uint8 values"):
        folder.open(normalization=saved)
    with pytest.warns(images.ValuesWarning, match="times brighter"):
        assert len(folder.open(normalization=saved, accept_values=True)) == 1


def test_a_saved_normalization_is_followed(folder):
    folder.add("a", np.full((24, 30), 0.5, np.float32), mask_of(0, 1))
    saved = images.Normalization((0.4,), (0.2,), "255")
    opened = folder.open(normalization=saved)
    assert opened.normalization() is saved
    np.testing.assert_allclose(opened[0].image, 0.5 / 255, rtol=1e-5)


def test_a_saved_normalization_refuses_what_does_not_fit_it(folder):
    folder.add("a", np.full((24, 30), 200.0, np.float32), mask_of(0, 1))
    with pytest.raises(ValueError, match=r"a\.npy: float32 values from 200 to 200; expected value"):
        folder.open(normalization=images.Normalization((0.4,), (0.2,), "unit"))
    with pytest.raises(ValueError, match=r"1 channel\(s\); expected 3, as the saved normalisation"):
        folder.open(normalization=images.Normalization((0.4,) * 3, (0.2,) * 3, "255"))


# --- kinds of masks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask",
    [
        mask_of(0, 1),
        mask_of(0, 255),
        mask_of(0, 65535, dtype=np.uint16),
        mask_of(0, 1).astype(bool),
        mask_of(0, 255).astype(np.float32),
        mask_of(0, 1, dtype=np.int64),
    ],
)
def test_binary_masks(folder, mask):
    folder.add("a", IMAGE, mask)
    folder.add("empty", IMAGE, np.zeros_like(mask))
    opened = folder.open()
    assert (opened.mask_kind, opened.num_classes) == ("binary", 1)
    np.testing.assert_array_equal(opened[0].labels, mask > 0)
    assert opened[1].labels.max() == 0
    np.testing.assert_allclose(opened.class_frequencies, [0.75, 0.25])


def test_masks_that_are_all_empty_are_binary(folder):
    folder.add("a", IMAGE, np.zeros((24, 30), np.uint8))
    assert folder.open().mask_kind == "binary"


def test_any_single_value_is_binary_where_the_user_says_so(folder):
    folder.add("a", IMAGE, mask_of(0, 128))
    assert folder.open(mask_kind="binary")[0].labels.max() == 1
    assert folder.open(classes=1).mask_kind == "binary"


@pytest.mark.parametrize("options", [{}, {"mask_kind": "binary"}])
def test_an_unexpected_value_among_binary_masks(folder, options):
    for name in "abc":
        folder.add(name, IMAGE, mask_of(0, 255))
    folder.add("odd", IMAGE, mask_of(0, 127, 255))
    with pytest.raises(
        ValueError, match=r"odd\.npy: mask values 0, 127, 255; expected 0 and 255, as in the other"
    ):
        folder.open(**options)


@pytest.mark.parametrize("make", [mask_of, dots_of])
def test_one_mask_with_an_unexpected_value(folder, make):
    folder.add("odd", IMAGE, make(0, 127, 255))
    with pytest.raises(ValueError, match=r"odd\.npy: mask values 0, 127, 255; expected class ids"):
        folder.open()


def test_masks_in_jpeg(folder):
    folder.add("a", IMAGE, None)
    Image.fromarray(dots_of(0, 255)).save(folder.masks / "a.jpg")
    with pytest.raises(
        ValueError, match=r"a\.jpg: mask values .*JPEG changes values: save masks as"
    ):
        folder.open()


def test_zero_one_mixed_with_zero_255(folder):
    for name in "abc":
        folder.add(name, IMAGE, mask_of(0, 255))
    folder.add("odd", IMAGE, mask_of(0, 1))
    with pytest.raises(ValueError, match=r"odd\.npy: mask values 0, 1; expected 0 and 255"):
        folder.open()


def test_a_float_mask_of_parts_is_refused(folder):
    folder.add("a", IMAGE, mask_of(0, 1) * 0.5)
    with pytest.raises(ValueError, match=r"a\.npy: a mask with the value 0\.5; expected whole"):
        folder.open()


def test_class_ids(folder):
    folder.add("a", IMAGE, dots_of(1, 2, 3))
    folder.add("b", IMAGE, dots_of(1, 3))
    opened = folder.open()
    assert (opened.mask_kind, opened.num_classes) == ("classes", 4)
    np.testing.assert_array_equal(np.unique(opened[1].labels), [0, 1, 3])
    expected = np.bincount(np.concatenate([s.labels.ravel() for s in opened]), minlength=4)
    np.testing.assert_allclose(opened.class_frequencies, expected / expected.sum())


def test_many_scattered_ids_are_classes(folder):
    folder.add("a", IMAGE, dots_of(*range(1, 15)))
    folder.add("b", IMAGE, dots_of(*range(8, 20)))
    opened = folder.open()
    assert (opened.mask_kind, opened.num_classes) == ("classes", 20)


def test_few_large_organs_are_classes(folder):
    folder.add("a", IMAGE, mask_of(0, 1, 2, 3))
    folder.add("b", IMAGE, mask_of(0, 2))
    assert folder.open().mask_kind == "classes"


def test_class_ids_beyond_the_number_of_classes(folder):
    folder.add("a", IMAGE, mask_of(0, 1, 2))
    folder.add("b", IMAGE, mask_of(0, 1, 5))
    with pytest.raises(
        ValueError, match=r"b\.npy: mask values 0, 1, 5; expected class ids from 0 t"
    ):
        folder.open(classes=3)
    opened = folder.open(classes=["background", "a", "b", "c", "d", "e"])
    assert (opened.num_classes, opened.class_names[5]) == (6, "e")


def test_class_ids_with_a_gap_are_refused_without_classes(folder):
    folder.add("a", IMAGE, dots_of(1, 3))
    folder.add("b", IMAGE, dots_of(0))
    with pytest.raises(ValueError, match="expected class ids from 0 to 2") as error:
        folder.open()
    assert "(classes=[0, 1, 3], on the command line --classes 0,1,3, says" in str(error.value)
    assert "mask_kind='instances', --mask-kind instances" in str(error.value)
    opened = folder.open(classes=[0, 1, 3])
    assert (opened.num_classes, opened.label_values) == (3, (0, 1, 3))
    assert set(np.unique(opened[0].labels)) == {0, 1, 2}


@pytest.mark.parametrize("values", [(0, 128), (1, 2)])
def test_values_of_binary_masks(folder, values):
    folder.add("a", IMAGE, mask_of(*values))
    folder.add("empty", IMAGE, mask_of(values[0]))
    opened = folder.open(classes=values, mask_kind="binary")
    assert (opened.mask_kind, opened.num_classes) == ("binary", 1)
    np.testing.assert_array_equal(opened[0].labels, mask_of(0, 1))
    np.testing.assert_allclose(opened.class_frequencies, [0.75, 0.25])
    folder.add("odd", IMAGE, mask_of(values[0], 255))
    folder.add("odd too", IMAGE, mask_of(values[0], 255))
    folder.add("odd again", IMAGE, mask_of(values[0], 255))
    with pytest.raises(ValueError, match="3 problems") as error:
        folder.open(classes=values, mask_kind="binary")
    assert f"expected only {values[0]}, {values[1]}" in str(error.value)


def test_one_value_is_the_foreground(folder):
    folder.add("a", IMAGE, mask_of(0, 7))
    opened = folder.open(classes=[7])
    assert (opened.mask_kind, opened.label_values) == ("binary", (0, 7))
    with pytest.raises(ValueError, match="expected only 0, 8"):
        folder.open(classes=[8])


def test_mask_values_that_stand_for_classes(folder):
    folder.add("a", IMAGE, mask_of(0, 128, 255))
    folder.add("b", IMAGE, mask_of(0, 255))
    opened = folder.open(classes=[0, 128, 255])
    assert opened.num_classes == 3
    np.testing.assert_array_equal(opened[0].labels, mask_of(0, 1, 2))
    np.testing.assert_array_equal(opened[1].labels, mask_of(0, 2))
    with pytest.raises(ValueError, match="expected only 0, 128"):
        folder.open(classes=[0, 128])


def test_two_classes_take_0_and_255(folder):
    folder.add("a", IMAGE, mask_of(0, 255))
    opened = folder.open(classes=2)
    assert (opened.mask_kind, opened.num_classes) == ("classes", 2)
    np.testing.assert_array_equal(opened[0].labels, mask_of(0, 1))


@pytest.mark.parametrize(
    "masks",
    [
        [mask_of(*range(20))],
        [mask_of(0, 3, 9, dtype=np.uint16), mask_of(0, 1, dtype=np.uint16)],
        [mask_of(0, 1, 2, 3, 4, 5, 6), mask_of(0, 1, 2), mask_of(0, 1, 2, 3)],
    ],
    ids=["numerous", "16 bits", "1 to n"],
)
def test_instances(folder, masks):
    for number, mask in enumerate(masks):
        folder.add(str(number), IMAGE, mask)
    opened = folder.open()
    assert (opened.mask_kind, opened.num_classes) == ("instances", 1)
    for sample, mask in zip(opened, masks, strict=True):
        np.testing.assert_array_equal(sample.labels, mask)
    assert len(opened.class_frequencies) == 2


def test_the_user_says_which(folder):
    folder.add("a", IMAGE, mask_of(0, 1, 2))
    assert folder.open(mask_kind="instances").mask_kind == "instances"
    assert folder.open(mask_kind="classes").num_classes == 3
    with pytest.raises(ValueError, match=r"a\.npy: mask values 0, 1, 2; expected 0 and 2"):
        folder.open(mask_kind="binary")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_kind": "cells"}, "mask_kind is 'cells'; accepted are auto, binary"),
        ({"classes": 0}, "classes is 0; expected a number of at least 1"),
        ({"classes": "abc"}, "classes is 'abc'; expected"),
        ({"classes": [0, "a"]}, "classes is .*expected"),
        ({"classes": [5, 0]}, "expected mask values in rising order"),
        ({"classes": [0]}, "expected mask values in rising order, with one besides 0"),
        ({"classes": [0, 9], "mask_kind": "instances"}, "expected no mask values with mask_kind"),
        ({"classes": 1, "mask_kind": "classes"}, "expected at least 2"),
        ({"classes": 3, "mask_kind": "binary"}, "expected at most 2"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        data.open_images([IMAGE], [mask_of(0, 1)], **options)


def test_an_image_of_a_stack_and_a_file_of_one_name_are_refused(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "a.npy", np.eye(20, dtype=np.uint8)[np.newaxis].repeat(2, 0))
        np.save(tmp_path / folder / "a_001.npy", np.eye(20, dtype=np.uint8))
    with pytest.raises(
        ValueError, match=r"a\.npy \(image 1\), \S*a_001\.npy: share the name 'a_001'"
    ):
        data.open_images(tmp_path / "images", tmp_path / "masks")


def test_a_folder_keeps_the_limits(folder):
    grey = np.random.default_rng(4).integers(0, 256, (24, 30), np.uint8)
    folder.add("a", grey, grey > 100)
    with pytest.raises(ValueError, match="2 problems") as error:
        folder.open(max_pixels=100)
    assert "masks/a.npy: an image of 24 x 30" in str(error.value)
    assert len(folder.open(max_pixels=720)) == 1
    folder.add("b", np.stack([grey] * 3), np.stack([grey > 100] * 3))
    with pytest.raises(ValueError, match="holds 3 images"):
        folder.open(max_pages=2)
