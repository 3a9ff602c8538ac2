"""The page at "/", in headless Chromium: many files, stacks, two models, keyboard, readers.

`UNET3P_SCREENSHOTS` names a folder to keep pictures of the page in.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import zipfile
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tifffile
from page_browser import (
    RULES,
    blobs,
    complaints,
    downloaded,
    move,
    overlay,
    saved,
    status,
    visit,
    wait_for,
)

from keras_unet3p.endpoint import LocalServer
from keras_unet3p.export import export_savedmodel
from keras_unet3p.metrics import object_scores


@pytest.fixture(scope="module")
def two_versions(bright_models):
    with LocalServer(bright_models, num_versions=2, labels={"objects": {"stable": 1}}) as running:
        yield running


@pytest.fixture
def page(driver, two_versions):
    yield visit(driver, two_versions)
    sized(driver, None)
    scheme(driver, "light")


def squares(height=90, width=120, levels=(200, 100)):
    """Objects that do not touch, of one grey value in the upper and another in the lower half."""
    image = np.zeros((height, width), np.uint8)
    for top in range(3, height - 12, 14):
        for left in range(3, width - 12, 15):
            image[top : top + 9, left : left + 10] = levels[top > height // 2]
    return image


def put(page, *paths, field="file"):
    page.find_element("id", field).send_keys("\n".join(map(str, paths)))


def written(folder, **images):
    paths = []
    for name, image in images.items():
        paths.append(folder / f"{name}.png")
        cv2.imwrite(str(paths[-1]), image)
    return paths


def choose(page, field, title):
    page.execute_script(
        "const list = document.getElementById(arguments[0]);"
        "list.value = [...list.options].find(each => each.text === arguments[1]).value;"
        "list.dispatchEvent(new Event('change'))",
        field,
        title,
    )


def rows(page):
    """Name and state of each image of the list."""
    return [
        (row.find_element("class name", "name").text, row.find_element("class name", "state").text)
        for row in page.find_elements("css selector", "#list li")
    ]


def selected(page):
    return page.execute_script(
        "return document.querySelector('#list [aria-selected=true] .name')?.textContent"
    )


def finished(page, count):
    note = page.find_element("id", "progress-note")
    wait_for(lambda: note.get_attribute("textContent").startswith(f"{count} of {count} done"))


def shown(page, name):
    wait_for(
        lambda: (
            page.find_element("id", "details").text.startswith(name)
            and status(page).startswith("Segmented in")
        )
    )


def press(page, *keys):
    from selenium.webdriver import ActionChains

    actions = ActionChains(page)
    for key in keys:
        actions.send_keys(key)
    actions.perform()


def sized(driver, width, height=844):
    if width is None:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    else:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def scheme(driver, value):
    feature = {"name": "prefers-color-scheme", "value": value}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def keep_picture(page, name):
    if os.environ.get("UNET3P_SCREENSHOTS"):
        page.save_screenshot(str(Path(os.environ["UNET3P_SCREENSHOTS"]) / f"{name}.png"))


def picture(page):
    """What is shown of the image, (H, W) of red."""
    height, width, values = page.execute_script(
        "const c = document.getElementById('image');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return [c.height, c.width, Array.from(d).filter((_, i) => i % 4 === 0)]"
    )
    return np.array(values, np.uint8).reshape(height, width)


@pytest.mark.parametrize("kind", ["tif", "png"])
def test_16_bits_reach_the_model_and_are_stretched_for_the_screen(page, tmp_path, kind):
    # The threshold, 32768 of 65535, lies within one step of 8 bits.
    rng = np.random.default_rng(0)
    image = rng.integers(32740, 32796, (40, 57), np.uint16)
    path = tmp_path / f"deep.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, image, compression="zlib")
    else:
        cv2.imwrite(str(path), image)
    choose(page, "model", "cells")
    put(page, path)
    shown(page, f"deep.{kind}, 57 × 40, uint16")
    np.testing.assert_array_equal(downloaded(page, "save-mask", "deep-mask.png"), image >= 32768)
    seen = picture(page)
    assert seen.min() == 0
    assert seen.max() == 255
    assert np.corrcoef(seen.ravel(), image.ravel())[0, 1] > 0.999
    assert not complaints(page)


def test_the_pages_of_a_stack(page, tmp_path):
    stack = np.stack([squares(levels=(60 * k + 40, 210)) for k in range(4)]).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    masks = [stack[k] / 65535 >= 0.5 for k in range(4)]
    choose(page, "model", "cells")
    put(page, tmp_path / "stack.tif")
    shown(page, "stack.tif")
    assert page.find_element("id", "page-count").text == "of 4"
    np.testing.assert_array_equal(downloaded(page, "save-mask", "stack_000-mask.png"), masks[0])
    page.find_element("id", "page-next").click()
    wait_for(lambda: page.find_element("id", "page").get_attribute("value") == "2")
    shown(page, "stack.tif")
    field = page.find_element("id", "page")
    page.execute_script(
        "arguments[0].value = 4; arguments[0].dispatchEvent(new Event('change'))", field
    )
    wait_for(lambda: not page.find_element("id", "page-next").is_enabled())
    shown(page, "stack.tif")
    np.testing.assert_array_equal(downloaded(page, "save-mask", "stack_003-mask.png"), masks[3])
    press(page, "[")
    wait_for(lambda: field.get_attribute("value") == "3")
    page.find_element("id", "all-pages").click()
    finished(page, 4)
    archive = zipfile.ZipFile(io.BytesIO(saved(page, "save-all-masks", "masks.zip")))
    assert archive.namelist() == [f"stack_{k:03d}-mask.png" for k in range(4)]
    for name, mask in zip(archive.namelist(), masks, strict=True):
        found = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found, mask)
    table = saved(page, "save-all-tables", "classes.csv").decode().splitlines()
    counts = [(int(row["page"]), row["name"], int(row["pixels"])) for row in csv.DictReader(table)]
    assert counts == [(k + 1, "cell", masks[k].sum()) for k in range(4)]
    assert not complaints(page)


def test_several_files_one_table_and_one_archive(page, tmp_path):
    images = {f"cells {k}": squares(80 + 10 * k, 100, (200, 180)) for k in range(3)}
    paths = written(tmp_path, **images)
    (tmp_path / "notes.png").write_bytes(b"no image")
    put(page, *paths, tmp_path / "notes.png")
    finished(page, 4)
    shown(page, "cells 0.png")
    masks = {
        name: RULES[2].instances(image.astype(np.float32) / 255) for name, image in images.items()
    }
    states = [(f"{name}.png", f"{mask.max()} objects") for name, mask in masks.items()]
    assert rows(page) == [*states, ("notes.png", "error")]
    assert len(page.find_elements("css selector", "#list img.thumb")) == 3
    keep_picture(page, "several")

    archive = zipfile.ZipFile(io.BytesIO(saved(page, "save-all-masks", "masks.zip")))
    assert archive.testzip() is None
    assert archive.namelist() == [f"{name}-mask.png" for name in images]
    for name, mask in masks.items():
        data = np.frombuffer(archive.read(f"{name}-mask.png"), np.uint8)
        np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), mask)
    table = saved(page, "save-all-tables", "objects.csv").decode().splitlines()
    found = [(row["image"], int(row["id"]), int(row["area"])) for row in csv.DictReader(table)]
    assert found == [
        (f"{name}.png", number, area)
        for name, mask in masks.items()
        for number, area in enumerate(np.bincount(mask.ravel())[1:], 1)
    ]

    # The results stay while others are looked at.
    page.find_elements("css selector", "#list li")[2].click()
    shown(page, "cells 2.png")
    np.testing.assert_array_equal(overlay(page)[..., 3] > 0, masks["cells 2"] > 0)
    page.find_elements("css selector", "#list li")[3].click()
    wait_for(lambda: "not an image" in status(page))
    assert not page.find_element("id", "picture").is_displayed()
    page.find_element("id", "clear").click()
    assert not page.find_element("id", "files").is_displayed()
    assert page.find_element("id", "hint").is_displayed()
    assert not complaints(page)


@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_a_folder(page, tmp_path, way):
    folder = tmp_path / "plate"
    (folder / "b").mkdir(parents=True)
    written(folder, a10=squares(), a9=squares())
    written(folder / "b", c=squares())
    (folder / "notes.txt").write_text("no image")
    if way == "chosen":
        put(page, folder, field="folder")
    else:
        for kind in ("dragEnter", "dragOver", "drop"):
            data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
            event = {"type": kind, "x": 400, "y": 400, "data": data}
            page.execute_cdp_cmd("Input.dispatchDragEvent", event)
    finished(page, 3)
    assert [name for name, _ in rows(page)] == ["plate/a9.png", "plate/a10.png", "plate/b/c.png"]
    archive = zipfile.ZipFile(io.BytesIO(saved(page, "save-all-masks", "masks.zip")))
    assert archive.namelist()[2] == "plate_b_c-mask.png"
    assert not complaints(page)


def test_two_versions_side_by_side(page, tmp_path):
    image = squares(levels=(200, 100))
    put(page, *written(tmp_path, cells=image, plain=squares(levels=(200, 200))))
    finished(page, 2)
    choose(page, "against", "objects, stable")
    comparison = page.find_element("id", "comparison")
    wait_for(comparison.is_displayed)
    finished(page, 2)
    first, second = (RULES[k].instances(image.astype(np.float32) / 255) for k in (2, 1))
    scores = object_scores(first, second)
    assert scores.extra > 0
    differ = (first > 0) != (second > 0)
    text = page.find_element("id", "share").text
    assert text.startswith(f"{100 * differ.mean():.2f} % of the pixels differ")
    assert f"; {scores.matched} objects in both" in text
    summaries = page.find_elements("css selector", "#differing summary")
    assert [each.text for each in summaries] == [
        f"{scores.missed} in version 2 alone",
        f"{scores.extra} in stable alone",
    ]
    assert rows(page)[0][1] == f"{100 * differ.mean():.1f} % differ"
    assert rows(page)[1][1] == "no difference"

    def layer(value):
        page.find_element("css selector", f"[data-value={value}]").click()
        return overlay(page)

    np.testing.assert_array_equal(layer("first")[..., 3] > 0, first > 0)
    np.testing.assert_array_equal(layer("second")[..., 3] > 0, second > 0)
    layer("divided")
    move(page, "divider", 25)
    halves = np.where(np.arange(image.shape[1]) < 30, first, second)
    np.testing.assert_array_equal(overlay(page)[..., 3] > 0, halves > 0)
    keep_picture(page, "split")
    drawn = layer("differences")
    np.testing.assert_array_equal(drawn[..., 3] > 0, (first > 0) | (second > 0))
    blue = (drawn[..., 2] > drawn[..., 0]) & (drawn[..., 3] > 0)
    np.testing.assert_array_equal(blue, differ)
    assert "stable alone" in page.find_element("id", "legend").text

    summaries[1].click()
    page.find_element("css selector", "#differing details:nth-of-type(2) button").click()
    assert page.find_element("id", "mark").is_displayed()
    keep_picture(page, "differences")
    lines = saved(page, "save-differences", "cells-differences.csv").decode().splitlines()
    listed = [(row["only_in"], int(row["id"])) for row in csv.DictReader(lines)]
    alone = [k for k in range(1, second.max() + 1) if not first[second == k].any()]
    assert sorted(listed) == [("stable", k) for k in alone]
    assert not complaints(page)


def test_a_class_and_objects_are_compared_by_their_foreground(page, tmp_path):
    image = squares(levels=(200, 100))
    put(page, *written(tmp_path, cells=image))
    shown(page, "cells.png")
    choose(page, "model", "objects, version 1")
    choose(page, "against", "cells")
    wait_for(page.find_element("id", "comparison").is_displayed)
    share = np.mean((image / 255 >= 0.3) != (image / 255 >= 0.5))
    assert page.find_element("id", "share").text == f"{100 * share:.2f} % of the pixels differ."
    assert not page.find_elements("css selector", "#differing summary")


def test_a_moved_threshold_stays_with_its_image(page, tmp_path):
    paths = written(tmp_path, one=blobs(70, 90), other=squares())
    choose(page, "model", "cells")
    put(page, *paths)
    finished(page, 2)
    shown(page, "one.png")
    threshold = page.find_element("id", "threshold")
    wait_for(threshold.is_enabled)
    assert threshold.get_attribute("value") == "50"
    move(page, "threshold", 30)
    # The probabilities travel with 8 bits.
    lower = np.rint(blobs(70, 90) / 255 * 255) / 255 >= 0.3 - 1e-6
    np.testing.assert_array_equal(overlay(page)[..., 3] > 0, lower)
    press(page, "n")
    shown(page, "other.png")
    wait_for(threshold.is_enabled)
    assert threshold.get_attribute("value") == "50"
    press(page, "p")
    shown(page, "one.png")
    np.testing.assert_array_equal(overlay(page)[..., 3] > 0, lower)
    wait_for(threshold.is_enabled)
    assert threshold.get_attribute("value") == "30"
    archive = zipfile.ZipFile(io.BytesIO(saved(page, "save-all-masks", "masks.zip")))
    data = np.frombuffer(archive.read("one-mask.png"), np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), lower)


def test_values_that_no_png_holds_travel_as_numbers(driver, tmp_path):
    image = keras.Input((None, None, 1))
    same = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(image)
    shifted = keras.layers.Activation("sigmoid")(same)
    export_savedmodel(
        keras.Model(image, shifted),
        tmp_path / "raw",
        tile_size=64,
        halo=0,
        value_scale="raw",
        input_dtype="float32",
    )
    values = np.linspace(-900, 900, 600, dtype=np.float32).reshape(20, 30)
    np.save(tmp_path / "field.npy", values)
    with LocalServer({"raw": tmp_path / "raw"}) as server:
        page = visit(driver, server)
        put(page, tmp_path / "field.npy")
        shown(page, "field.npy, 30 × 20, float32")
        found = downloaded(page, "save-mask", "field-mask.png")
        np.testing.assert_array_equal(found, values >= 0)
        assert not complaints(page)


def asked(page, path):
    return page.execute_script(
        "return performance.getEntriesByType('resource')"
        ".filter(each => new URL(each.name).pathname === arguments[0]).length",
        path,
    )


def test_the_models_are_asked_for_once_and_again_for_a_new_version(
    driver, bright_models, model_folder, tmp_path
):
    shutil.copytree(model_folder / "1", tmp_path / "cells" / "1")
    with LocalServer({"cells": tmp_path / "cells"}, poll_seconds=0.1) as server:
        page = visit(driver, server)
        paths = written(tmp_path, **{f"a{k}": squares() for k in range(3)})
        put(page, *paths)
        finished(page, 3)
        shown(page, "a0.png")
        assert status(page).endswith("by version 1")
        assert asked(page, "/page/models") == 1
        assert asked(page, "/v1/models/cells/metadata") == 0
        shutil.copytree(bright_models["objects"] / "2", tmp_path / "new")
        (tmp_path / "new").rename(tmp_path / "cells" / "2")
        service = server._service
        wait_for(lambda: service.repository._models["cells"].available == {2}, 60)
        # It tells objects apart, unlike the one that the page knows: the next image shows that
        # there is another version, and the one after it is numbered.
        for name in "bcd":
            put(page, *written(tmp_path, **{name: squares()}))
            shown(page, f"{name}.png")
            assert status(page).endswith("by version 2")
            assert asked(page, "/page/models") == 2
        assert page.find_element("id", "count").text.endswith(" objects")


def test_a_version_without_what_was_asked_for(driver, bright_models, model_folder, tmp_path):
    shutil.copytree(bright_models["objects"] / "2", tmp_path / "cells" / "2")
    with LocalServer({"cells": tmp_path / "cells"}, poll_seconds=0.1) as server:
        page = visit(driver, server)
        shutil.copytree(model_folder / "1", tmp_path / "new")
        (tmp_path / "new").rename(tmp_path / "cells" / "3")
        service = server._service
        wait_for(lambda: service.repository._models["cells"].available == {3}, 60)
        put(page, *written(tmp_path, a=squares()))
        shown(page, "a.png")
        assert status(page).endswith("by version 3")
        assert "Class 1" in page.find_element("id", "legend").text
        assert asked(page, "/page/models") == 2


def test_a_server_that_went_away_and_came_back(driver, model_folder, tmp_path):
    paths = written(tmp_path, **{f"a{k}": squares() for k in range(3)})
    with LocalServer({"cells": model_folder}) as server:
        page = visit(driver, server)
        port = int(server.url.rpartition(":")[2])
    put(page, *paths)
    wait_for(lambda: "The server does not answer" in status(page))
    assert page.find_element("id", "status").get_attribute("class") == "bad"
    assert [state for _, state in rows(page)] == ["error", "waiting", "waiting"]
    with LocalServer({"cells": model_folder}, port=port):
        page.find_element("id", "retry").click()
        finished(page, 3)
        shown(page, "a0.png")
        assert not page.find_element("id", "retry").is_displayed()


def test_a_file_too_large_for_the_server_is_not_sent(driver, model_folder, tmp_path):
    with LocalServer({"cells": model_folder}, max_request_bytes=2000) as server:
        page = visit(driver, server)
        noise = np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)
        put(page, *written(tmp_path, noise=noise))
        wait_for(lambda: status(page).startswith("Too large: "))
        tifffile.imwrite(tmp_path / "noise.tif", noise)
        put(page, tmp_path / "noise.tif")
        wait_for(
            lambda: status(page).startswith("Too large: 39 kB, and the server takes files of 2 kB")
        )
        assert asked(page, "/page/image") == 0
        assert not complaints(page)


def test_everything_by_keyboard(page, tmp_path):
    from selenium.webdriver.common.keys import Keys

    paths = written(tmp_path, **{f"a{k}": squares() for k in range(4)})
    put(page, *paths)
    finished(page, 4)
    shown(page, "a0.png")
    page.execute_script("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        press(page, Keys.TAB)
        name, outline = page.execute_script(
            "const e = document.activeElement;"
            "return [e.id || e.dataset.value, getComputedStyle(e).outlineStyle]"
        )
        if name in reached or not name:
            break
        reached.append(name)
        assert outline != "none", f"no focus is seen on {name}"
    wanted = ["clear", "list", "model", "against", "fill", "line", "fit", "opacity", "open"]
    wanted += ["open-folder", "save-mask", "save-table", "save-all-masks", "show-help"]
    assert [name for name in reached if name in wanted] == wanted

    box = page.find_element("id", "list")
    page.execute_script("arguments[0].focus()", box)
    for keys, name in (
        ((Keys.ARROW_DOWN,), "a1.png"),
        ((Keys.END,), "a3.png"),
        ((Keys.ARROW_UP,), "a2.png"),
        ((Keys.HOME,), "a0.png"),
    ):
        press(page, *keys)
        wait_for(lambda name=name: selected(page) == name)
        active = page.find_element("id", box.get_attribute("aria-activedescendant"))
        assert active.get_attribute("aria-selected") == "true"
    press(page, Keys.DELETE)
    wait_for(lambda: selected(page) == "a1.png")
    assert [name for name, _ in rows(page)] == ["a1.png", "a2.png", "a3.png"]

    press(page, "2")
    assert (
        page.find_element("css selector", "[data-value=line]").get_attribute("aria-pressed")
        == "true"
    )
    press(page, "f")
    stage = page.find_element("id", "stage")
    assert stage.get_attribute("tabindex") == "0"
    press(page, "n")
    wait_for(lambda: selected(page) == "a2.png")
    press(page, "?")
    assert page.find_element("id", "help").is_displayed()
    assert "next image" in page.find_element("id", "keys").text
    page.find_element("id", "shortcuts").click()
    press(page, Keys.ESCAPE)
    wait_for(lambda: not page.find_element("id", "help").is_displayed())
    press(page, "p", "1")
    assert selected(page) == "a2.png"
    assert (
        page.find_element("css selector", "[data-value=line]").get_attribute("aria-pressed")
        == "true"
    )
    assert not complaints(page)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_readers_and_colours(page, tmp_path, colours, width):
    axe = pytest.importorskip("axe_core_python.base", reason="axe-core looks for barriers")
    scheme(page, colours)
    sized(page, width)
    script = Path(axe.__file__).with_name("axe.min.js").read_text("utf-8")
    page.execute_script(script)

    def check(where):
        keep_picture(page, f"{where}-{colours}-{width}")
        found = page.execute_async_script("axe.run().then(arguments[0])")
        serious = [
            (each["id"], [node["html"] for node in each["nodes"]])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert not serious, where
        wide = page.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, where

    check("empty")
    paths = written(tmp_path, **{f"a{k}": squares() for k in range(3)})
    (tmp_path / "notes.png").write_bytes(b"no image")
    put(page, *paths, tmp_path / "notes.png")
    finished(page, 4)
    shown(page, "a0.png")
    check("segmented")
    choose(page, "against", "objects, stable")
    wait_for(page.find_element("id", "comparison").is_displayed)
    finished(page, 4)
    page.execute_script(
        "document.querySelectorAll('details').forEach(each => { each.open = true; })"
    )
    for value in ("divided", "differences", "full"):
        page.execute_script(f"document.querySelector('[data-value={value}]').click()")
    check("compared")
    page.execute_script("document.querySelector('#list li:last-child').click()")
    wait_for(lambda: "not an image" in status(page))
    check("error")
    page.execute_script("document.getElementById('help').showModal()")
    check("help")


def test_thousands_of_objects(page, tmp_path):
    image = np.zeros((1500, 1600), np.uint8)
    for top in range(2, 1490, 16):
        for left in range(2, 1590, 16):
            image[top : top + 9, left : left + 9] = 200 if left % 32 == 2 else 110
    put(page, *written(tmp_path, many=image))
    shown(page, "many.png")
    expected = RULES[2].instances(image.astype(np.float32) / 255)
    assert expected.max() > 4000
    np.testing.assert_array_equal(downloaded(page, "save-mask", "many-mask.png"), expected)
    assert page.find_element("id", "count").text == f"{expected.max()} objects"
    choose(page, "against", "objects, version 1")
    wait_for(page.find_element("id", "comparison").is_displayed)
    second = RULES[1].instances(image.astype(np.float32) / 255)
    more = second.max() - expected.max()
    assert f"{more} in version 1 alone" in page.find_element("id", "differing").text
    items = page.find_elements("css selector", "#differing details:nth-of-type(2) li")
    assert len(items) == 201  # the largest, and a line about the others
    assert not complaints(page)
