"""What MkDocs does besides: pages made of the sources, equations, links that leave the site."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))

import command_page
import public_names

ROOT = public_names.ROOT
# Pages whose source lies elsewhere in the repository.
ELSEWHERE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_config(config):
    """A page of the reference for each room; fences of equations."""
    pages = [{room.name: f"reference/{room.name}.md"} for room in public_names.rooms()]
    for entry in config.nav:
        if "Reference" in entry:
            first = {"The command unet3p": "reference/command.md"}
            entry["Reference"] = ["reference/index.md", first, *pages]
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {})
    fences["custom_fences"] = [{"name": "math", "class": "math", "format": _equation}]
    return config


def _equation(source, language, css_class, options, md, **kwargs):
    lines = [line for line in source.strip().split("\n\n") if line]
    return "".join(f'<p class="{css_class}">{convert(line, display="block")}</p>' for line in lines)


def on_files(files, config):
    made = {"reference/index.md": _reference_index(), "reference/command.md": command_page.text()}
    for room in public_names.rooms():
        made[f"reference/{room.name}.md"] = _room_page(room)
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    for source, path in ELSEWHERE.items():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / source)))
    return files


def _reference_index() -> str:
    rows = [
        f"| [`{room.name}`]({room.name}.md) | {room.first_line} | {_links(room)} |"
        for room in public_names.rooms()
    ]
    return "\n".join(
        [
            "# Reference",
            "",
            "Everything public, room by room, made of the docstrings. The examples in them are run",
            "by the tests. The options of the command line are [here](command.md).",
            "",
            "| `keras_unet3p.` | what is in it | names |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _links(room) -> str:
    anchor = f"{room.name}.md#keras_unet3p.{room.name}"
    return ", ".join(f"[{name}]({anchor}.{name})" for name in room.names)


def _room_page(room) -> str:
    module = f"keras_unet3p.{room.name}"
    about = f"::: {module}\n    options: {{members: false, show_root_heading: false}}\n"
    names = [f"::: {module}.{name}\n" for name in room.names]
    return "\n".join([f"# {module}", "", about, *names])


def on_page_markdown(markdown, page, config, files):
    """A link to a file that is no page becomes its text; to one that is a page, a link to it."""
    before = {path: source for source, path in ELSEWHERE.items()}
    source = before.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def follow(match: re.Match) -> str:
        picture, text, target = match.groups()
        path, _, anchor = target.partition("#")
        if picture or not path or ":" in path or page.file.src_uri.startswith("reference/"):
            return match.group()
        at = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        inside = ELSEWHERE.get(at, at.removeprefix("docs/") if at.startswith("docs/") else None)
        if inside is None or files.get_file_from_path(inside) is None:
            if not (ROOT / at).exists():
                return match.group()  # MkDocs reports it
            return text
        here = posixpath.dirname(page.file.src_uri) or "."
        return f"[{text}]({posixpath.relpath(inside, here)}{'#' + anchor if anchor else ''})"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else LINK.sub(follow, part) for part in parts)
