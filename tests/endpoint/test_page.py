"""The page at "/", in headless Chromium.

`UNET3P_SCREENSHOT` names a file to keep the picture of the segmented image in.
"""

from __future__ import annotations

import csv
import os
import re

import cv2
import numpy as np
import pytest
import requests
from page_browser import (
    RULES,
    blobs,
    complaints,
    downloaded,
    move,
    overlay,
    saved,
    show,
    status,
    visit,
    wait_for,
)

from keras_unet3p.endpoint import LocalServer
from keras_unet3p.postprocessing import object_table


def test_the_page_needs_nothing_from_elsewhere(server):
    answer = requests.get(server.url + "/", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    named = re.findall(r'<(?:script|img|iframe|link)[^>]*\s(?:src|href)="([^"]*)"', answer.text)
    assert len(named) == 2
    seen = {"": answer.text}
    while named:
        name = named.pop()
        assert re.fullmatch(r"page/[a-z]+\.(js|css)", name), name
        if name in seen:
            continue
        file = requests.get(f"{server.url}/{name}", timeout=10)
        assert file.status_code == 200
        kind = "javascript" if name.endswith(".js") else "css"
        assert file.headers["content-type"] == f"text/{kind}; charset=utf-8"
        assert file.headers["x-content-type-options"] == "nosniff"
        seen[name] = file.text
        imports = re.findall(r'(?:from|import) *\(?"([^"]*)"', file.text)
        assert all(each.startswith("./") for each in imports)
        named += ["page/" + each[2:] for each in imports]
    assert len(seen) > 5
    for text in seen.values():
        assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text)
        assert not re.findall(r"@import|url\(", text)


def test_a_browser_keeps_the_files_until_they_change(server):
    for path in ("/", "/page/main.js"):
        first = requests.get(server.url + path, timeout=10)
        assert first.headers["cache-control"] == "no-cache"
        again = requests.get(
            server.url + path, headers={"If-None-Match": first.headers["etag"]}, timeout=10
        )
        assert again.status_code == 304
        assert not again.content
        other = requests.get(server.url + path, headers={"If-None-Match": '"x"'}, timeout=10)
        assert other.status_code == 200
    for path in ("/page/", "/page/../page.html", "/page/%2e%2e/rest_app.py", "/page/none.js"):
        assert requests.get(server.url + path, timeout=10).status_code == 404


def test_overlay_opacity_threshold_and_download(page, tmp_path):
    image = blobs(233, 317)
    show(page, tmp_path, image)
    mask = image >= 128
    np.testing.assert_array_equal(overlay(page)[..., 3] > 0, mask)
    np.testing.assert_array_equal(downloaded(page, "save-mask", "cells-mask.png"), mask)
    share = f"{100 * mask.mean():.1f} %"
    assert share in page.find_element("id", "legend").text

    move(page, "opacity", 80)
    assert overlay(page)[..., 3].max() == round(0.8 * 255)

    threshold = page.find_element("id", "threshold")
    wait_for(threshold.is_enabled)
    assert threshold.get_attribute("value") == "50"
    move(page, "threshold", 30)
    lower = image / 255 >= 0.3
    assert lower.sum() > mask.sum()
    np.testing.assert_array_equal(overlay(page)[..., 3] > 0, lower)
    np.testing.assert_array_equal(downloaded(page, "save-mask", "cells-mask.png"), lower)

    page.find_element("css selector", "[data-value=line]").click()
    lines = overlay(page)[..., 3] > 0
    assert 0 < lines.sum() < lower.sum()
    assert not (lines & ~lower).any()
    seen = downloaded(page, "save-overlay", "cells-overlay.png")
    assert seen.shape[:2] == image.shape
    assert (seen[lines][:, 2] > seen[lines][:, 0]).mean() > 0.9
    page.find_element("css selector", "[data-value=none]").click()
    assert not overlay(page).any()
    assert not complaints(page)


def test_a_large_image_has_no_threshold_and_is_right(page, tmp_path):
    image = blobs(1023, 1531)
    show(page, tmp_path, image, "large.png")
    np.testing.assert_array_equal(downloaded(page, "save-mask", "large-mask.png"), image >= 128)
    note = page.find_element("id", "threshold-note")
    wait_for(lambda: "megapixels" in note.text)
    assert not page.find_element("id", "threshold").is_enabled()
    if os.environ.get("UNET3P_SCREENSHOT"):
        page.save_screenshot(os.environ["UNET3P_SCREENSHOT"])


def test_a_file_that_is_no_image_is_refused_and_the_next_one_works(page, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    page.find_element("id", "file").send_keys(str(tmp_path / "broken.png"))
    wait_for(lambda: "not an image that the browser can show" in status(page))
    show(page, tmp_path, blobs(50, 60))


def test_the_servers_refusal_is_shown(page, tmp_path, server):
    limit = server._service.max_request_bytes
    server._service.max_request_bytes = 2000
    try:
        cv2.imwrite(str(tmp_path / "a.png"), blobs(300, 300))
        page.find_element("id", "file").send_keys(str(tmp_path / "a.png"))
        wait_for(lambda: "request body is larger than 2000 bytes" in status(page))
        assert page.find_element("id", "status").get_attribute("class") == "bad"
    finally:
        server._service.max_request_bytes = limit


def test_a_dropped_image(page):
    page.execute_script("""
        const canvas = document.createElement("canvas");
        canvas.width = 40; canvas.height = 30;
        const context = canvas.getContext("2d");
        context.fillStyle = "white"; context.fillRect(0, 0, 20, 30);
        canvas.toBlob(blob => {
            const data = new DataTransfer();
            data.items.add(new File([blob], "half.webp", {type: blob.type}));
            window.dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
        }, "image/webp", 1.0);
    """)
    wait_for(lambda: status(page).startswith("Segmented in"))
    alpha = overlay(page)[..., 3]
    assert alpha.shape == (30, 40)
    assert (alpha[:, :20] > 0).all()
    assert not alpha[:, 21:].any()


@pytest.fixture(scope="module")
def bright_objects(bright_models):
    """An endpoint whose objects are what is bright in the image."""
    with LocalServer({"objects": bright_models["objects"]}) as running:
        yield running, RULES[2]


def test_objects_are_numbered_counted_and_measured(driver, bright_objects, tmp_path):
    server, rule = bright_objects
    visit(driver, server)
    rng = np.random.default_rng(0)
    image = np.zeros((330, 420), np.uint8)
    for top in range(1, 320, 16):
        for left in range(3, 410, 16):  # more than 255, so that 8 bits would not do
            image[top : top + rng.integers(4, 14), left : left + rng.integers(4, 14)] = 200
    image[100:200, 100:200] = 220
    show(driver, tmp_path, image, "objects.png")
    expected = rule.instances(image.astype(np.float32) / 255)
    assert expected.max() > 300
    np.testing.assert_array_equal(downloaded(driver, "save-mask", "objects-mask.png"), expected)
    np.testing.assert_array_equal(overlay(driver)[..., 3] > 0, expected > 0)
    assert driver.find_element("id", "count").text == f"{expected.max()} objects"
    assert (
        driver.find_element("id", "histogram")
        .get_attribute("aria-label")
        .endswith(f"up to {np.bincount(expected.ravel())[1:].max()} pixels")
    )
    text = saved(driver, "save-table", "objects-objects.csv").decode()
    rows = list(csv.DictReader(text.splitlines()))
    table = object_table(expected, image)
    assert len(rows) == len(table)
    for found, row in zip(rows, table, strict=True):
        for name, value in found.items():
            assert float(value) == pytest.approx(row[name]), name
    lines = driver.find_element("css selector", "[data-value=line]")
    lines.click()
    assert (overlay(driver)[..., 3] > 0).sum() < (expected > 0).sum()
    if os.environ.get("UNET3P_SCREENSHOT"):
        driver.save_screenshot(os.environ["UNET3P_SCREENSHOT"])
    assert not complaints(driver)


def test_an_image_without_objects(driver, bright_objects, tmp_path):
    visit(driver, bright_objects[0])
    show(driver, tmp_path, np.zeros((30, 40), np.uint8))
    assert driver.find_element("id", "count").text == "0 objects"
    assert not driver.find_element("id", "save-table").is_displayed()
    assert not complaints(driver)
