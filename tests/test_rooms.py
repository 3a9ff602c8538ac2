"""Which room of the package imports which: arrows go down only.

Read from the sources, imports inside functions included, so nothing is imported here.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path
from typing import NamedTuple

import pytest

import keras_unet3p

PACKAGE = Path(keras_unet3p.__file__).parent
NAME = PACKAGE.name

# The house, top down. A room imports rooms below it and none above or beside it; those of one line
# stand side by side.
HOUSE = [
    ("__main__",),
    ("cli", "napari_plugin"),
    ("workflow",),
    ("planning",),
    ("export",),
    ("training",),
    ("endpoint",),
    ("client",),
    ("models",),
    ("tiling",),
    ("graphs",),
    ("data",),
    ("losses", "metrics", "optimizers"),
    ("layers",),
    ("targets",),
    ("annotations",),
    ("postprocessing",),
    ("reports",),
    ("images",),
    ("artifacts",),
    ("geometry",),
    ("config",),
    ("line_journal", "progress"),
    ("cache_folder", "files"),
    ("errors",),
    ("compat",),
    ("_version", "_after_keras", "_lazy_names"),
]
FLOOR = {"errors", "files", "compat", "_version", "_after_keras", "_lazy_names"}
LEVEL = {room: level for level, line in enumerate(HOUSE) for room in line}

# What is allowed less than the rooms below.
ONLY = {
    "__main__": {"cli"},
    "losses": {"layers", "targets"} | FLOOR,
    "metrics": {"layers", "targets", "postprocessing"} | FLOOR,
    "optimizers": FLOOR,
    "layers": {"targets"} | FLOOR,
    "targets": FLOOR,
}
NOT = {
    "models": {"losses", "metrics", "data"},
}

WITHOUT_TENSORFLOW = (
    "annotations",
    "geometry",
    "config",
    "images",
    "artifacts",
    "reports",
    "client",
    "errors",
    "files",
    "line_journal",
    "progress",
    "cache_folder",
)


class Import(NamedTuple):
    """One import: the module that is named, where, and whether it happens at the file's import."""

    target: str
    line: int
    at_once: bool
    for_types: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    """The part of the name that says the room; "" for the package itself, which is its door."""
    return module.partition(".")[2].partition(".")[0]


def named_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "imports name the whole path"
        whole = [f"{node.module}.{alias.name}" for alias in node.names]
        return sorted({name if name in MODULES else str(node.module) for name in whole})
    return []


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def read_imports(tree: ast.AST, at_once: bool = True, for_types: bool = False) -> list[Import]:
    found = []
    for node in ast.iter_child_nodes(tree):
        lazy = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        found += [
            Import(name, node.lineno, at_once, for_types)  # type: ignore[attr-defined]
            for name in named_modules(node)
        ]
        found += read_imports(node, at_once and not lazy, for_types or is_for_types(node))
    return found


IMPORTS = {
    module: read_imports(ast.parse(path.read_text("utf-8"))) for module, path in MODULES.items()
}
ROOMS = sorted({room_of(module) for module in MODULES} - {""})


def is_ours(name: str) -> bool:
    return name.partition(".")[0] == NAME


def arrows() -> dict[tuple[str, str], list[str]]:
    """(importing room, imported room) -> where."""
    found: dict[tuple[str, str], list[str]] = {}
    for module, imports in IMPORTS.items():
        for item in imports:
            pair = room_of(module), room_of(item.target)
            if is_ours(item.target) and pair[0] and pair[0] != pair[1]:
                found.setdefault(pair, []).append(f"{MODULES[module]}:{item.line}")
    return found


def is_allowed(room: str, other: str) -> bool:
    if not other:  # the door opens upwards
        return False
    below = LEVEL[other] > LEVEL[room]
    return below and other in ONLY.get(room, {other}) and other not in NOT.get(room, ())


def test_every_room_has_its_place_in_the_house():
    assert set(ROOMS) <= set(LEVEL), "give the new room a line in HOUSE"


def test_arrows_go_down_only():
    assert not {pair: places for pair, places in arrows().items() if not is_allowed(*pair)}


@pytest.mark.parametrize("room", [room for room in WITHOUT_TENSORFLOW if room in ROOMS])
def test_a_room_without_tensorflow_reaches_none(room):
    """Neither by what it imports, also inside functions, nor by what that imports at once."""
    waiting = [module for module in MODULES if room_of(module) == room]
    came_from = dict.fromkeys(waiting, "")
    while waiting:
        module = waiting.pop()
        for item in IMPORTS.get(module, ()):
            if item.for_types or not (item.at_once or room_of(module) == room):
                continue
            path = item.target.split(".")
            # Whoever imports a.b.c imports a and a.b before.
            for name in (".".join(path[:end]) for end in range(1, len(path) + 1)):
                if name not in came_from:
                    came_from[name] = module
                    waiting.append(name)
    heavy = {name for name in came_from if name.split(".")[0] in ("tensorflow", "keras")}
    assert not {name: came_from[name] for name in heavy}


def test_no_module_imports_one_that_imports_it():
    """Not over others either, and not inside functions."""
    graph = {
        module: {
            item.target
            for item in imports
            if item.target in MODULES and not item.for_types and item.target != module
        }
        for module, imports in IMPORTS.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_no_module_bears_the_name_of_what_its_room_exports():
    """Else `import keras_unet3p.room.name as module` gives a function."""
    taken = {
        f"{module}.{name}"
        for module, imports in IMPORTS.items()
        for name in exported(MODULES[module])
        if MODULES[module].name == "__init__.py" and f"{module}.{name}" in MODULES
    }
    rooms = {f"{NAME}.{room}" for room in ROOMS}  # the package exports its rooms
    assert not taken - rooms


def exported(path: Path) -> set[str]:
    """The names in a file's `__all__`."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_what_an_import_is_seen_as():
    code = f"""
import {NAME}.files
if TYPE_CHECKING:
    from {NAME} import data
class A:
    import json
    def method(self):
        from {NAME}.models.encoders import ENCODERS
"""
    assert read_imports(ast.parse(code)) == [
        (f"{NAME}.files", 2, True, False),
        (f"{NAME}.data", 4, True, True),
        ("json", 6, True, False),
        (f"{NAME}.models.encoders", 8, False, False),
    ]
    assert not is_allowed("models", "workflow")
    assert not is_allowed("models", "data")
    assert not is_allowed("losses", "metrics")
    assert is_allowed("cli", "workflow")
