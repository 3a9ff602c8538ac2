"""The pages of the site say what is so: links, tables, pictures, names; and the site is built."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import network_pictures
import public_names
import pytest
import tables
from test_docstrings import public, rooms
from test_rooms import HOUSE

from keras_unet3p import config, losses, metrics

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OTHERS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [*sorted(DOCS.rglob("*.md")), *OTHERS, ROOT / "serving/README.md"]
# Made by what the page speaks of.
MADE = re.compile(r"runs/|models/cells|site/|NAME|brier|sum_unet")
BUILDERS = ("mkdocs", "material", "mkdocstrings_handlers.python", "latex2mathml")


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def anchors(path: Path) -> set[str]:
    """What MkDocs and others make of the headings."""
    body = re.sub(r"^```.*?^```$", "", text_of(path), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", body, re.M)
    kept = (re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles)
    return {re.sub(r"[\s-]+", "-", title) for title in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_that_pages_name_exist(page):
    named = re.findall(
        r"`((?:tests|benchmarks|examples|docs|keras_unet3p|serving)/[\w/.-]*)`", text_of(page)
    )
    assert not [path for path in named if not MADE.search(path) and not (ROOT / path).exists()]


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tables_are_those_of_the_benchmarks(page):
    assert tables.filled(text_of(page)) == text_of(page), "run docs/tools/tables.py"


def test_every_table_stands_on_a_page():
    marked = {name for page in tables.PAGES for _, name, _ in tables.MARKED.findall(text_of(page))}
    assert marked == set(tables.TABLES)


@pytest.mark.parametrize("name", network_pictures.DRAWINGS)
def test_pictures_are_drawn_from_the_models(name):
    picture = network_pictures.draw(name)
    kept = text_of(network_pictures.FOLDER / f"{name}.svg")
    assert picture == kept, "run docs/tools/network_pictures.py"
    (count,) = re.findall(r"<title>[^<]* ([\d,]+) parameters</title>", picture)
    (row,) = re.findall(rf"`models\.{name}` .* \| ([\d,]+) \|", text_of(DOCS / "networks/index.md"))
    assert count == row


def test_every_architecture_has_a_picture():
    assert set(network_pictures.DRAWINGS) == set(config.ARCHITECTURES)


def counts() -> list[tuple]:
    """What `tests/models/test_parameter_counts.py` tests."""
    path = ROOT / "tests/models/test_parameter_counts.py"
    spec = importlib.util.spec_from_file_location("parameter_counts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.COUNTS


def test_parameter_counts_are_those_that_are_tested():
    shown = set()
    for page in (DOCS / "networks").glob("*.md"):
        for call, count in re.findall(r"^\| `(\w+\(.*\))` \| ([\d,]+) \|$", text_of(page), re.M):
            shown.add((call, int(count.replace(",", ""))))
    tested = set()
    for count, build, shape, classes, options in counts():
        order = sorted(options, key=list(build.__kwdefaults__).index)
        given = [f"{name}={options[name]!r}".replace("'", '"') for name in order]
        tested.add((f"{build.__name__}({', '.join([str(shape), str(classes), *given])})", count))
    assert {sorted_call(call) for call in shown} == {sorted_call(call) for call in tested}


def sorted_call(call: tuple[str, int]) -> tuple[frozenset[str], int]:
    """Whatever the order of the arguments."""
    return frozenset(re.split(r"[(,]\s*(?=\w+=)", call[0].rstrip(")"))), call[1]


def test_the_reference_has_every_public_name():
    """Those that the sources list are those that are exported."""
    pages = {room.name: set(room.names) for room in public_names.rooms()}
    assert set(pages) == set(rooms())
    for room, names in pages.items():
        assert {name for name, _ in public(room)} <= names
        module = importlib.import_module(f"keras_unet3p.{room}")
        assert all(hasattr(module, name) for name in names)


def test_the_pages_name_what_there_is():
    loss_page, metric_page = text_of(DOCS / "losses.md"), text_of(DOCS / "metrics.md")
    assert not [name for name in losses.__all__ if name not in loss_page]
    assert not [name for name in config.LOSSES if f"`--loss {name}`" not in loss_page]
    functions = [name for name in metrics.__all__ if name.islower() or name in ("Dice", "IoU")]
    helpers = {"simple_points", "summarize_evaluations"}
    assert not [name for name in functions if name not in metric_page and name not in helpers]
    house = text_of(DOCS / "contributors/house.md")
    named = {room for line in HOUSE for room in line if not room.startswith("_")}
    assert not [room for room in named if f"`{room}`" not in house]


def test_no_page_needs_what_lies_elsewhere():
    """Links apart: no picture, script or font of another machine."""
    for page in PAGES:
        assert not re.findall(r"!\[[^\]]*\]\(http|<script|<iframe|src=.http", text_of(page)), page


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    absent = [name for name in BUILDERS if not _is_there(name)]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)} (pip install '.[docs]')")
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return folder


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_the_site_has_every_public_name(site):
    for room in public_names.rooms():
        page = text_of(site / f"reference/{room.name}.html")
        for name in room.names:
            assert f'id="keras_unet3p.{room.name}.{name}"' in page, name


def test_the_site_needs_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(http[^"]*)"', page.read_text()
        )
        assert not loaded, page


def test_the_site_shows_examples_and_equations(site):
    assert '<span class="gp">&gt;&gt;&gt; ' in text_of(site / "reference/losses.html")
    assert "<math" in text_of(site / "losses.html")
    assert "--hours" in text_of(site / "reference/command.html")
