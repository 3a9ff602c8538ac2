"""Every snippet of the site's pages runs, page by page, from the top of the page to its end."""

from __future__ import annotations

import re
import shlex
import shutil
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
from snippets import ROOT, run_command, snippets_of

from keras_unet3p import data, endpoint
from keras_unet3p.images import pictures

PAGES = {
    path.relative_to(ROOT / "docs").as_posix(): snippets_of(path.read_text("utf-8"))
    for path in sorted((ROOT / "docs").rglob("*.md"))
}
RUN = [name for name, snippets in PAGES.items() if {s.language for s in snippets} - {"math"}]
# Pages that speak of masks of foreground and background; the others', of instances, do for them.
BINARY = {"guides/semantic_masks.md", "guides/membranes.md"}
# Pages that begin with a run, and with an endpoint that serves its export.
WITH_RUN = {"guides/large_images.md", "guides/fine_tuning.md", "guides/serving.md"}
# Pages that need packages of extras.
NEEDED = {"guides/formats.md": ("zarr", "nibabel")}
SERVED = {"guides/serving.md"}
FIRST_TRAINING = next(
    line for s in PAGES["start.md"] for line in s.commands() if line.startswith("unet3p train")
)


def write_images(folder: Path, *, binary: bool) -> None:
    for number in range(4):
        image, labels = data.generate_cells((64, 64), seed=number)
        pictures.write_picture(folder / "images" / f"{number}.png", image)
        mask = (labels > 0) * np.uint8(255) if binary else labels.astype(np.uint16)
        pictures.write_picture(folder / "masks" / f"{number}.png", mask)


@pytest.fixture(scope="module")
def with_run(tmp_path_factory):
    """A folder with images, masks and a run, trained by the command of the first page."""
    folder = tmp_path_factory.mktemp("with_run")
    write_images(folder, binary=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_command(FIRST_TRAINING)
    return folder


def run(line: str, page: str, with_run: Path) -> None:
    """Run a command. The first page's training is not repeated where it stands again."""
    before, here = shlex.split(FIRST_TRAINING), shlex.split(line)
    out = before.index("--out") + 1
    same = len(here) > out and here[:out] + here[out + 1 :] == before[:out] + before[out + 1 :]
    if same and page not in BINARY:
        shutil.copytree(with_run / before[out], here[out])
    else:
        run_command(line)


def test_only_these_kinds_of_snippets_stand_in_the_pages():
    kinds = {snippet.language for snippets in PAGES.values() for snippet in snippets}
    assert kinds <= {"python", "sh", "math", "text"}
    lines = [
        line
        for snippets in PAGES.values()
        for snippet in snippets
        if snippet.language == "sh"
        for line in snippet.commands()
    ]
    assert [x for x in lines if not x.startswith(("unet3p ", "pip install ", "curl "))] == []
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    extras = set(metadata["options.extras_require"])
    for line in lines:
        for extra in re.findall(r"pip install .*\[([\w,]+)\]", line):
            assert set(extra.split(",")) <= extras, line


@pytest.mark.parametrize("page", RUN)
def test_the_snippets_of_a_page_run(page, tmp_path, monkeypatch, with_run):
    for name in NEEDED.get(page, ()):
        pytest.importorskip(name, reason=f"needs {name}, of an extra")
    monkeypatch.chdir(tmp_path)
    if page in WITH_RUN:
        shutil.copytree(with_run, tmp_path, dirs_exist_ok=True)
    else:
        write_images(tmp_path, binary=page in BINARY)
    names: dict = {"__name__": "snippet"}
    server = None
    try:
        for snippet in PAGES[page]:
            code = snippet.code
            if server is not None:
                code = code.replace("http://localhost:8501", server.url)
            if snippet.language == "python":
                exec(compile(code, page, "exec"), names)
            elif snippet.language == "sh":
                for line in snippet._replace(code=code).commands():
                    run(line, page, with_run)
            if page in SERVED and server is None and Path("models/cells/1").exists():
                server = endpoint.LocalServer({"cells": "models/cells"})
                server.start()
    finally:
        if server is not None:
            server.close()
