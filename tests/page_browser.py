"""Headless Chromium with the endpoint's page, for the tests of that page."""

from __future__ import annotations

import shutil
import time

import cv2
import numpy as np
import pytest

from keras_unet3p.postprocessing import InstanceRule

BROWSER = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
DRIVER = shutil.which("chromedriver")
# Of the versions of the model "objects".
RULES = {
    version: InstanceRule(threshold=threshold, smallest_object=0)
    for version, threshold in ((1, 0.3), (2, 0.5))
}


@pytest.fixture(scope="session")
def bright_models(tmp_path_factory):
    """Folders of models of what is bright: "objects" in two versions, and "cells", of a class."""
    import keras

    from keras_unet3p.export import export_savedmodel

    image = keras.Input((None, None, 1))
    same = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(image)
    network, folder = keras.Model(image, same), tmp_path_factory.mktemp("models")
    options = {"tile_size": 64, "halo": 0}
    for rule in RULES.values():
        export_savedmodel(
            network, folder / "objects", threshold=rule.threshold, instances=rule, **options
        )
    export_savedmodel(network, folder / "cells", classes=["background", "cell"], **options)
    return {name: folder / name for name in ("objects", "cells")}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
    if not BROWSER or not DRIVER:
        pytest.skip("no Chromium with chromedriver to show the page in")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.downloads = downloads
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


def wait_for(condition, seconds: float = 20.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return value


def visit(driver, server):
    """Opens the page of a server and waits until it knows the models."""
    complaints(driver)  # those of the tests before
    driver.get(server.url + "/")
    wait_for(lambda: driver.find_element("tag name", "body").get_attribute("data-ready"))
    return driver


@pytest.fixture
def page(driver, server):
    return visit(driver, server)


def blobs(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    image = np.full((height, width), 60, np.float32)
    for _ in range(max(4, height * width // 6000)):
        center = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.integers(14, 34)), int(rng.integers(14, 34)))
        cv2.ellipse(image, center, axes, float(rng.uniform(0, 180)), 0, 360, 190.0, -1)
    image = cv2.GaussianBlur(image, (0, 0), 5) + rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def status(page) -> str:
    return page.find_element("id", "status").text


def show(page, tmp_path, image: np.ndarray, name: str = "cells.png") -> None:
    cv2.imwrite(str(tmp_path / name), image)
    page.find_element("id", "file").send_keys(str(tmp_path / name))
    wait_for(lambda: status(page).startswith("Segmented in"))


def overlay(page) -> np.ndarray:
    """The overlay's pixels, (H, W, 4)."""
    values = page.execute_script(
        "const c = document.getElementById('overlay');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        "return [c.height, c.width, Array.from(d.data)]"
    )
    return np.array(values[2], np.uint8).reshape(values[0], values[1], 4)


def move(page, slider: str, value: int) -> None:
    page.execute_script(
        "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
        "s.dispatchEvent(new Event('input'))",
        slider,
        value,
    )


def saved(page, button: str, name: str) -> bytes:
    page.find_element("id", button).click()
    file = page.downloads / name
    wait_for(lambda: file.exists() and not list(page.downloads.glob("*.crdownload")))
    content = file.read_bytes()
    file.unlink()
    return content


def downloaded(page, button: str, name: str) -> np.ndarray:
    content = np.frombuffer(saved(page, button, name), np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_UNCHANGED)


def complaints(page) -> list[str]:
    return [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
